module cgoprof.bench/direct

go 1.19
