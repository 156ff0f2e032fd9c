module cgoprof.bench/resolver

go 1.19
