module cgoprof.bench/crossings

go 1.19
