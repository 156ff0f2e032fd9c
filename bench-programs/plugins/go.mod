module cgoprof.bench/plugins

go 1.19
