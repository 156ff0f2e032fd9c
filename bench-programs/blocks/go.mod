module cgoprof.bench/blocks

go 1.19
