module cgoprof.bench/hotloop

go 1.19
