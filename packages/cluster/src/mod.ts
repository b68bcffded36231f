/** Replica: batches commands into records, appends, applies, answers; checkpoints. */
export type { Caller, ReplicaDoor } from "./caller.ts";
