/** Runs of equal adds: the hot path. Straight from the record's bytes, no object per command. */
import { type ByteReader, DecodeError, type ErrorCode, type Int64 } from "@quipu/core";
import { databaseCount } from "./codec-fields.ts";
import { maximumEnd, minimumEnd } from "./counter-store.ts";
import { admittedOf, afterSteps, refusalOf } from "./fold.ts";
import type { RunOutcome } from "./outcome.ts";
import type { State } from "./state.ts";

/** Applies the run whose opcode was just read. Takes `count` indexes from state.index + 1. Throws DecodeError. */
export function applyEncodedRun(state: State, reader: ByteReader, run: RunOutcome, hash?: number): void {
  const database = reader.u8();
  if (database >= databaseCount) throw new DecodeError(`no database ${database}`);
  const count = reader.u32();
  if (count === 0) throw new DecodeError("an empty run");
  const delta = reader.int64();
  const length = reader.skipBytes();
  applyRun(state, database, reader.source, reader.position - length, reader.position, delta, count, run, hash);
}

/** Applies `count` adds of `delta` to the key `bytes[start, end)`, whose hash may be known already. */
export function applyRun(
  state: State,
  database: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  delta: Int64,
  count: number,
  run: RunOutcome,
  hash?: number,
): void {
  const { counters } = state;
  const before = state.index;
  state.index += count;
  run.delta = delta;
  run.count = count;
  run.admitted = 0;
  run.first = 0;
  if (end - start > state.limits.keyBytesMax) return refuse(run, "KEY_TOO_LARGE");
  const found = counters.lookup(database, bytes, start, end, hash);
  if (found < 0 || !counters.isPresent(found)) {
    const admitted = admittedOf(0, delta, count, null, null);
    if (admitted < count) run.rejection = "OVERFLOW"; // From 0 the first always fits.
    if (state.refusalOfStoring(-1, end - start, 0) !== null) return refuse(run, "OVERLOADED");
    const id = counters.create(database, bytes, start, end, found);
    return finish(state, run, id, 0, admitted, before);
  }
  if (!counters.isInteger(found)) return refuse(run, "NOT_AN_INTEGER");
  const value = counters.value(found) as Int64;
  let admitted: number;
  if (counters.isBounded(found)) {
    const minimum = counters.bound(found, minimumEnd);
    const maximum = counters.bound(found, maximumEnd);
    admitted = admittedOf(value, delta, count, minimum, maximum);
    if (admitted < count) run.rejection = refusalOf(delta, minimum, maximum);
    if (state.mutation === "fold-past-bound" && admitted > 0) admitted = count;
  } else {
    admitted = admittedOf(value, delta, count, null, null);
    if (admitted < count) run.rejection = "OVERFLOW";
  }
  if (admitted > 0) finish(state, run, found, value, admitted, before);
}

function refuse(run: RunOutcome, code: ErrorCode): void {
  run.rejection = code;
}

/** Writes the value after the admitted adds; its version is the position of the last of them. */
function finish(state: State, run: RunOutcome, id: number, value: Int64, admitted: number, before: number): void {
  run.admitted = admitted;
  run.first = afterSteps(value, run.delta, 1);
  const last = admitted === 1 ? run.first : afterSteps(value, run.delta, admitted);
  state.counters.write(id, last, state.lsn, before + admitted);
}
