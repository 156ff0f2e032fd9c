module cgoprof.bench/interrupted

go 1.19
