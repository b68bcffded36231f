/**
 * The numbers that stand for commands, outcomes and error codes in logs and snapshots.
 *
 * They are stable for ever: a number is never reused or given another meaning, since old logs are replayed
 * by new code. New ones go at the end, behind a raised feature level.
 */
import { type ErrorCode } from "@quipu/core";
import type { Command } from "./operations.ts";
import type { OutcomeValue } from "./outcome.ts";

/** First byte of a command. */
export const opcodes: Readonly<Record<Command["type"], number>> = {
  add: 1, // A run of equal adds; `add` itself is a run of one. Its layout is fixed: see codec-operation-write.ts.
  once: 2, // A command under an idempotency key.
  session: 3, // A numbered batch of an SDK session.
  transaction: 4, // MULTI … EXEC.

  // Writes.
  addDecimal: 16, // INCRBYFLOAT.
  addWithin: 17, // INCREX.
  set: 18, // SET, SETNX, SETEX, GETSET.
  setMany: 19, // MSET, MSETNX.
  getAndDelete: 20, // GETDEL.
  getAndExpire: 21, // GETEX.
  delete: 22, // DEL, UNLINK.
  expire: 23, // EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT.
  persist: 24, // PERSIST.
  bound: 25, // Q.BOUND.
  compareAndSet: 26, // SDK and HTTP If-Match.
  flush: 27, // FLUSHDB, FLUSHALL.

  // Reads: in records only inside transactions, sessions and idempotent commands.
  get: 64, // GET.
  getMany: 65, // MGET.
  exists: 66, // EXISTS, TOUCH.
  typeOf: 67, // TYPE.
  timeToLive: 68, // TTL, PTTL, EXPIRETIME, PEXPIRETIME.
  databaseSize: 69, // DBSIZE.
  scan: 70, // SCAN.
  keys: 71, // KEYS.
  randomKey: 72, // RANDOMKEY.
  describe: 73, // Value, version, bounds and expiry at once.
  versionOf: 74, // For WATCH.
};

/** The opcode of a run, see {@link opcodes}. */
export const opcodeRun = 1;
export const opcodeOnce = 2;
export const opcodeSession = 3;
export const opcodeTransaction = 4;

/** First byte of a stored outcome. */
export const outcomeTags: Readonly<Record<OutcomeValue["type"], number>> = {
  ok: 1,
  nil: 2,
  integer: 3, // int64
  bytes: 4, // length, bytes
  error: 5, // number of the error code
  array: 6, // count, items
};

/** Error codes in stored outcomes (rejections are replayed too). */
export const errorNumbers: Readonly<Record<ErrorCode, number>> = {
  INVALID_ARGUMENT: 1,
  NOT_AN_INTEGER: 2,
  NOT_A_FLOAT: 3,
  NOT_FINITE: 4,
  OVERFLOW: 5,
  OUT_OF_BOUNDS: 6,
  BOUND_EXCLUDES_VALUE: 7,
  PRECONDITION_FAILED: 8,
  NOT_FOUND: 9,
  KEY_TOO_LARGE: 10,
  VALUE_TOO_LARGE: 11,
  IDEMPOTENCY_MISMATCH: 12,
  IDEMPOTENCY_EXPIRED: 13,
  SESSION_EXPIRED: 14,
  SESSION_NUMBER_USED: 15,
  OVERLOADED: 16,
  UNAUTHENTICATED: 17,
  INDOUBT: 18,
  CONNECTION_LOST: 19,
  SHUTTING_DOWN: 20,
  LOG_SEALED: 21,
  LOG_APPEND_UNKNOWN: 22,
  LOG_CORRUPT: 23,
  STORE_CORRUPT: 24,
  DATA_DIRECTORY_IN_USE: 25,
  DATA_DIRECTORY_UNUSABLE: 26,
  DISK_FULL: 27,
  DISK_FAILED: 28,
  PORT_IN_USE: 29,
  PUBLIC_BIND_REFUSED: 30,
  INVALID_CONFIGURATION: 31,
  STATE_DIVERGED: 32,
  VERSION_TOO_OLD: 33,
  LOG_FULL: 34,
  NOQUORUM: 35,
};

/** The error code of each number, or undefined where the number means none. */
export const errorCodesByNumber: readonly (ErrorCode | undefined)[] = indexByNumber();

function indexByNumber(): (ErrorCode | undefined)[] {
  const byNumber: (ErrorCode | undefined)[] = [];
  for (const [code, number] of Object.entries(errorNumbers)) byNumber[number] = code as ErrorCode;
  return byNumber;
}
