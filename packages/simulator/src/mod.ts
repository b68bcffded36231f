/** Deterministic simulation of the replica on a faulty disk and clock. */
export {};
