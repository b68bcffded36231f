/** The replicated state machine: exact counters, bounds, expiry, exactly-once. Pure. */
export {};
