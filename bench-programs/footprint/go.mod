module cgoprof.bench/footprint

go 1.19
