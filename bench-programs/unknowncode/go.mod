module unknowncode

go 1.19
