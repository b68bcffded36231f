/** What every other package stands on. Pure: no Node types, no clock, no ambient randomness. */
export type { Brand } from "./brand.ts";
export { ByteReader, ByteWriter, DecodeError, int64Narrow } from "./bytes.ts";
export { InvariantViolation, invariant, unreachable } from "./invariant.ts";
export { type Random, SeededRandom } from "./random.ts";
export {
  assertInt64,
  type Int64,
  int64Add,
  int64Compare,
  int64Format,
  int64FromBigInt,
  int64Max,
  int64Min,
  int64Negate,
  int64Parse,
} from "./int64.ts";
export { type Lsn, lsn } from "./lsn.ts";
export {
  type Clock,
  type Disk,
  DiskError,
  type DiskFile,
  type KeyValueBatch,
  type KeyValueStore,
  type Network,
} from "./ports.ts";
export { errorCatalogue, type ErrorCode, type ErrorDescription, type Outcome, QuipuError } from "./errors.ts";
export { NumberQueue } from "./number-queue.ts";
