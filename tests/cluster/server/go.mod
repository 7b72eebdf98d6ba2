module modelcar.test/cluster/server

go 1.26.0
