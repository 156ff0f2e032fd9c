module cgoprof.bench/hardship

go 1.19
