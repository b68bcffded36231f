/** The quipu server and command line: RESP and HTTP front doors, configuration, metrics. */
export {};
