module cgoprof.bench/sharedlib

go 1.19
