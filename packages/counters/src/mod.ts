/** The replicated state machine: exact counters, bounds, expiry, exactly-once. Pure. */
export type { ChangeSink } from "./change-tracker.ts";
export type { FrozenChanges, StoreEntry } from "./checkpoint.ts";
export { readCommand, readOperation, readOutcome, writeCommand, writeOperation, writeOutcome } from "./codec.ts";
export { databaseCount, itemsMax, systemDatabase } from "./codec-fields.ts";
export { compareDecimals, type Decimal, type DecimalFailure, formatDecimal, parseDecimal } from "./decimal.ts";
export { globMatches } from "./glob.ts";
export { defaultLimits, type MachineLimits } from "./limits.ts";
export {
  commandHasOutcome,
  commandWasRun,
  CounterMachine,
  type MachineOptions,
  type MachineStatistics,
} from "./machine.ts";
export type { CounterMutation } from "./mutation.ts";
export type {
  Command,
  Database,
  ExpireConditions,
  ExpiryChange,
  OnceCommand,
  Operation,
  Position,
  ReadOperation,
  SessionCommand,
  TransactionCommand,
  Watch,
  WriteOperation,
} from "./operations.ts";
export { type OutcomeValue, RunOutcome } from "./outcome.ts";
export {
  featureLevelMax,
  firstFeatureLevel,
  recordFeatureLevel,
  readRecordId,
  RecordBuilder,
  recordHeaderBytes,
  type RecordId,
} from "./record.ts";
export type { Admission } from "./writers.ts";
