/** Invariants, branded types, seeded randomness, ports, error catalogue. Pure. */
export {};
