module cgoprof.bench/scheduler

go 1.19
