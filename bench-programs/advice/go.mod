module cgoprof.bench/advice

go 1.19
