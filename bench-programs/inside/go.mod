module cgoprof.bench/inside

go 1.19
