module cgoprof.bench/waiting

go 1.19
