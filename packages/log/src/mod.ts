/** Write-ahead log, loglet contract, VirtualLog, engines memory and local. */
export {};
