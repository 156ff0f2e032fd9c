module cgoprof.bench/manythreads

go 1.19
