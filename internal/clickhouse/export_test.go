package clickhouse

// RefusingCodes lets a test compare the codes with the server's names.
var RefusingCodes = refusingCodes
