/** Q.ONCE and Idempotency-Key: the outcome of the first time, again (DESIGN §4.5). */
import { type ByteReader, DecodeError } from "@quipu/core";
import { keySlot } from "@quipu/routing";
import { applyOperation } from "./apply-operation.ts";
import { applyEncodedRun } from "./apply-run.ts";
import { applyTransaction } from "./apply-transaction.ts";
import { readCommand } from "./codec.ts";
import { readFlag } from "./codec-fields.ts";
import { ContentHash } from "./hash.ts";
import { opcodeOnce, opcodeRun, opcodeSession } from "./opcodes.ts";
import type { Operation, TransactionCommand } from "./operations.ts";
import { type OutcomeValue, RunOutcome } from "./outcome.ts";
import { failure, integer } from "./outcomes.ts";
import { operationsOf } from "./record.ts";
import type { State } from "./state.ts";

/** Kind of the content hash of a request. */
const fingerprintKind = 0x66; // f

const fingerprint = new ContentHash();
const innerRun = new RunOutcome();

/** Where the id lies in the record, how long it is kept, its birth or -1, and what the table knows of it. Reused. */
const head = { idStart: 0, idEnd: 0, retentionMs: 0, bornAtMs: -1, found: -1 };

/** Applies the once whose opcode was just read. Around a single add it makes one object: the outcome. */
export function applyEncodedOnce(state: State, reader: ByteReader): OutcomeValue {
  const idLength = reader.skipBytes();
  head.idEnd = reader.position;
  head.idStart = head.idEnd - idLength;
  head.retentionMs = reader.varint();
  head.bornAtMs = readFlag(reader) ? reader.varint() : -1;
  const commandStart = reader.position;
  return reader.source[commandStart] === opcodeRun && reader.remaining > 0
    ? onceAroundAdd(state, reader, commandStart)
    : onceAroundCommand(state, reader, commandStart);
}

function onceAroundAdd(state: State, reader: ByteReader, commandStart: number): OutcomeValue {
  const start = skipAdd(reader);
  const end = reader.position;
  const slot = keySlot(reader.source, start, end);
  takeFingerprint(reader.source, commandStart, end);
  const answer = answerWithoutApplying(state, reader.source, slot);
  if (answer !== null) {
    state.index++;
    return answer;
  }
  reader.reset(reader.source, commandStart + 1, reader.end);
  applyEncodedRun(state, reader, innerRun);
  const outcome = innerRun.admitted === 1 ? integer(innerRun.first) : failure(innerRun.rejection);
  storeOutcome(state, reader.source, slot, outcome);
  return outcome;
}

/** Passes over a run that must be of one; returns where its key begins. It ends at the reader's position. */
function skipAdd(reader: ByteReader): number {
  reader.u8();
  reader.u8();
  if (reader.u32() !== 1) throw new DecodeError("a run under an idempotency key");
  reader.int64();
  const length = reader.skipBytes();
  return reader.position - length;
}

function onceAroundCommand(state: State, reader: ByteReader, commandStart: number): OutcomeValue {
  const opcode = reader.source[commandStart];
  if (opcode === opcodeOnce || opcode === opcodeSession) throw new DecodeError(`opcode ${opcode} inside once`);
  const command = readCommand(reader) as Operation | TransactionCommand; // The others were refused above.
  const slot = lowestSlot(command);
  takeFingerprint(reader.source, commandStart, reader.position);
  const answer = answerWithoutApplying(state, reader.source, slot);
  if (answer !== null) {
    state.index += operationsOf(command);
    return answer;
  }
  const outcome = command.type === "transaction" ? applyTransaction(state, command) : applyOperation(state, command);
  storeOutcome(state, reader.source, slot, outcome);
  return outcome;
}

function takeFingerprint(bytes: Uint8Array, start: number, end: number): void {
  fingerprint.start(fingerprintKind);
  fingerprint.bytes(bytes, start, end);
  fingerprint.finish();
}

/** The stored outcome or the refusal, or null where the command is to be applied. */
function answerWithoutApplying(state: State, bytes: Uint8Array, slot: number): OutcomeValue | null {
  const { idempotency, limits, logTimeMs } = state;
  const { idStart, idEnd, retentionMs, bornAtMs } = head;
  const length = idEnd - idStart;
  if (length === 0 || length > limits.idempotencyIdBytesMax) return failure("INVALID_ARGUMENT");
  // Of the later one, from which the entry is kept: what is stored must be an exact time.
  if (!Number.isSafeInteger(Math.max(logTimeMs, bornAtMs) + retentionMs)) return failure("INVALID_ARGUMENT");
  const found = idempotency.lookup(slot, bytes, idStart, idEnd);
  head.found = found;
  if (found >= 0 && idempotency.isPresent(found)) {
    return idempotency.matches(found, fingerprint) ? idempotency.outcome(found) : failure("IDEMPOTENCY_MISMATCH");
  }
  if (bornAtMs >= 0) {
    // Not later than: the entry of a request born at this very time has just expired.
    if (bornAtMs <= logTimeMs - retentionMs) return failure("IDEMPOTENCY_EXPIRED");
    if (bornAtMs > logTimeMs + limits.idempotencyBornAheadMaxMs) return failure("INVALID_ARGUMENT");
  }
  const full =
    idempotency.size >= limits.idempotencyEntriesMax ||
    idempotency.outcomeBytes >= limits.idempotencyOutcomeBytesMax ||
    !state.hasRoomFor(length);
  return full ? failure("OVERLOADED") : null;
}

function storeOutcome(state: State, bytes: Uint8Array, slot: number, outcome: OutcomeValue): void {
  if (state.mutation === "once-entry-not-stored") return;
  // "Retry later" must not be what every retry gets: nothing was taken, so nothing is remembered.
  if (outcome.type === "error" && outcome.code === "OVERLOADED") return;
  const { idStart, idEnd, found, retentionMs, bornAtMs } = head;
  // Born ahead of log time: kept until its birth is older than the retention, or a late retry would apply again.
  const expiresAtMs = Math.max(state.logTimeMs, bornAtMs) + retentionMs;
  const { low, high } = fingerprint;
  const id = state.idempotency.add(slot, bytes, idStart, idEnd, found, low, high, expiresAtMs);
  state.idempotency.setOutcome(id, outcome);
}

/** The scope of the id: the lowest slot among the command's keys, 0 without keys. */
function lowestSlot(command: Operation | TransactionCommand): number {
  let lowest = Infinity;
  const take = (key: Uint8Array): void => {
    lowest = Math.min(lowest, keySlot(key));
  };
  if (command.type === "transaction") for (const operation of command.operations) eachKey(operation, take);
  else eachKey(command, take);
  return lowest === Infinity ? 0 : lowest;
}

function eachKey(operation: Operation, take: (key: Uint8Array) => void): void {
  switch (operation.type) {
    case "delete":
    case "getMany":
    case "exists":
      for (const key of operation.keys) take(key);
      return;
    case "setMany":
      for (const { key } of operation.pairs) take(key);
      return;
    case "flush":
    case "databaseSize":
    case "scan":
    case "keys":
    case "randomKey":
      return;
    default:
      take(operation.key);
  }
}
