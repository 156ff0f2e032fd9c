module cgoprof.bench/hotlibrary

go 1.19
