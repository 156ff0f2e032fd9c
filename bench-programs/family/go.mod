module cgoprof.bench/family

go 1.19
