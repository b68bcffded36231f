/**
 * Limits of the state machine (promise P9). They decide outcomes, so they must be equal on all replicas of a shard.
 */

export interface MachineLimits {
  /** Live keys, all databases together. One more: OVERLOADED. */
  readonly keysMax: number;
  /**
   * Bytes of live keys, byte-string values and idempotency keys together: what would add to them beyond it is
   * OVERLOADED. The idempotency key of a command that fills the rest itself may go past it.
   */
  readonly storedBytesMax: number;
  /** Keys, sessions and idempotency entries that expire at the start of one record; the next record takes the rest. */
  readonly expiriesPerRecordMax: number;
  /** Longest key in bytes: KEY_TOO_LARGE beyond it. */
  readonly keyBytesMax: number;
  /** Longest value in bytes: VALUE_TOO_LARGE beyond it. */
  readonly valueBytesMax: number;
  /** Bytes of one logged command's outcome: what would make it longer is not done, VALUE_TOO_LARGE. */
  readonly outcomeBytesMax: number;
  /** Bytes of the answer to a read that is not logged: one that would be longer is refused, VALUE_TOO_LARGE. */
  readonly readBytesMax: number;
  /** Live idempotency entries. */
  readonly idempotencyEntriesMax: number;
  /** Bytes of stored outcomes that do not lie inline: arrays, byte strings. One reply may go past it. */
  readonly idempotencyOutcomeBytesMax: number;
  /** Longest idempotency key in bytes. */
  readonly idempotencyIdBytesMax: number;
  /** How far ahead of log time the birth of an idempotency key may lie: it prolongs the life of the entry. */
  readonly idempotencyBornAheadMaxMs: number;
  /** Live sessions. */
  readonly sessionsMax: number;
  readonly sessionIdBytesMax: number;
  /** How far ahead a session's expiry may lie. */
  readonly sessionLifetimeMaxMs: number;
  /** Replies that one session may leave open. */
  readonly sessionRepliesMax: number;
  /** Bytes of open replies of one session. One reply may go past it. */
  readonly sessionReplyBytesMax: number;
  /** Bytes of open replies of all sessions. One reply may go past it. */
  readonly sessionsReplyBytesMax: number;
  /** Nodes that ever wrote. */
  readonly writersMax: number;
}

const hourMs = 3_600_000;

export const defaultLimits: MachineLimits = {
  keysMax: 20_000_000, // About 2 GB of memory with short keys: where a shard should long have been split.
  storedBytesMax: 8 * 1024 ** 3, // 400 bytes for each of keysMax; without it long keys and texts could ask for 21 TB.
  expiriesPerRecordMax: 50_000, // About 50 ms: a million keys of one EXPIREAT must not stop everything for a second.
  keyBytesMax: 65_535, // What the key table can hold; a longer key is a mistake.
  valueBytesMax: 1024 * 1024, // Values are counters and small strings (DESIGN §4.4).
  outcomeBytesMax: 64 * 1024 * 1024, // It is held, and may be stored, whole: 1,024 reads of one megabyte would not do.
  readBytesMax: 64 * 1024 * 1024, // As with outcomeBytesMax: an MGET may name one long value a million times.
  idempotencyEntriesMax: 20_000_000, // A day of 230 keyed requests a second.
  idempotencyOutcomeBytesMax: 512 * 1024 * 1024, // Replies of transactions and GETs; those of adds cost nothing here.
  idempotencyIdBytesMax: 255, // As long as the Idempotency-Key header that payment services accept.
  idempotencyBornAheadMaxMs: 24 * hourMs, // More than any clock is wrong by; less than a memory leak.
  sessionsMax: 100_000, // One per client process, a week each.
  sessionIdBytesMax: 255,
  sessionLifetimeMaxMs: 7 * 24 * hourMs,
  sessionRepliesMax: 1_024, // Batches in flight from one client; more would be no pipelining but a leak.
  sessionReplyBytesMax: 16 * 1024 * 1024, // A window of 1,024 batches at 16 KiB each.
  sessionsReplyBytesMax: 512 * 1024 * 1024, // Every session at 5 KiB, or 32 of them at their own limit.
  writersMax: 65_536, // Nodes are numbered by the cell, not by clients.
};
