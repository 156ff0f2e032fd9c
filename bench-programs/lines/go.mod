module cgoprof.bench/lines

go 1.19
