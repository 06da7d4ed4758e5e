module millrace/native-bench/go

go 1.19
