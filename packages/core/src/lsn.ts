/** Log sequence numbers and positions: the coordinates every other part speaks in. */
import type { Brand } from "./brand.ts";
import { invariant } from "./invariant.ts";

/** Position of a record in a shard's log, from 1. Grows strictly, need not be dense. 0 = before the first. */
export type Lsn = Brand<number, "Lsn">;

export function lsn(value: number): Lsn {
  invariant(Number.isSafeInteger(value) && value >= 0, `not a log sequence number: ${value}`);
  return value as Lsn;
}
