module cgoprof.bench/actor

go 1.19
