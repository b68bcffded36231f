/** Every bound of the RESP front door (promise P9), each with its reason. */

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;

export interface RespDoorLimits {
  /** Redis' own default for `maxclients`. */
  readonly connectionsMax: number;
  /** Commands of one connection that wait for the log. A longer pipeline waits in the socket: nothing is lost. */
  readonly pendingCommandsMax: number;
  /** Unsent replies of one connection before its socket is no longer read. Well above what one turn answers. */
  readonly outputPauseBytes: number;
  /** Unsent replies before a slow reader is disconnected (Redis: client-output-buffer-limit). */
  readonly outputBytesMax: number;
  /** Commands of one MULTI, and their bytes: together one record, which engines keep below 1 MiB by default. */
  readonly queuedCommandsMax: number;
  readonly queuedBytesMax: number;
  /** Keys that one connection may WATCH. */
  readonly watchedKeysMax: number;
  /** How long a command waits for an overloaded replica before it is refused. */
  readonly overloadWaitMs: number;
  /** How long close() waits for replies that are under way. */
  readonly closeWaitMs: number;
}

export const respDoorLimits: RespDoorLimits = {
  connectionsMax: 10_000,
  pendingCommandsMax: 16_384,
  outputPauseBytes: mebibyte,
  outputBytesMax: 64 * mebibyte,
  queuedCommandsMax: 16_384,
  queuedBytesMax: 16 * mebibyte,
  watchedKeysMax: 1_024,
  overloadWaitMs: 5_000,
  closeWaitMs: 5_000,
};

/** Redis allows 512 MB; nobody names a counter with more than this, and every key is in memory and in each record. */
export const keyBytesMax: number = 64 * kibibyte;

/** A value that is no integer (DESIGN §4.4). */
export const valueBytesMax: number = mebibyte;

/** Operations of one Q.BATCH; the SDK sends at most this many. */
export const batchOperationsMax = 1_024;

/** Milliseconds of a relative or absolute expiry: exact in a double even after log time is added. */
export const expiryMsMax: number = 2 ** 52;

/** Retention of idempotency entries, unless the settings say otherwise (DESIGN §4.5). */
export const idempotencyRetentionMsDefault: number = 24 * 60 * 60 * 1000;

/** Lifetime of an SDK session: default, and the most the state machine accepts. */
export const sessionLifetimeMsDefault: number = 24 * 60 * 60 * 1000;
export const sessionLifetimeMsMax: number = 7 * 24 * 60 * 60 * 1000;

/** Numbered databases, as in Redis' default configuration. */
export const databaseCount = 16;
