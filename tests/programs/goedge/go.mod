module goedge

go 1.19
