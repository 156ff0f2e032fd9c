module cgoprof.bench/unknowncode

go 1.19
