module cgoprof.bench/tracebacks

go 1.19
