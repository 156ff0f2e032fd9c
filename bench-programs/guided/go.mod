module cgoprof.bench/guided

go 1.19
