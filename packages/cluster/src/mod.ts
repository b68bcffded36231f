/** Replica: batches commands into records, appends, applies, answers; checkpoints. */
export type { Caller, ReplicaDoor } from "./caller.ts";
export {
  Checkpointer,
  type CheckpointerOptions,
  type CheckpointSettings,
  defaultCheckpointSettings,
} from "./checkpointer.ts";
export { defaultReplicaLimits, type ReplicaLimits } from "./limits.ts";
export { LogClock } from "./log-clock.ts";
export type { CheckpointerMutation, ReplicaMutation } from "./mutation.ts";
export { Replica, type ReplicaOptions } from "./replica.ts";
export { loadMachine } from "./state-store.ts";
export type { WriterIdentity } from "./submitter.ts";
