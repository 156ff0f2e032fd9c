module cgoprof.bench/tls

go 1.19
