module trouble
go 1.19
