/** Replica: batches commands into records, appends, applies, answers; checkpoints. */
export {};
