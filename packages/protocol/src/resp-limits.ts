/** Limits of the Redis protocol parsers (promise P9). All are checked before anything is allocated. */

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;

/** A line (an inline request, a length, a simple string) without its end in sight. Redis: PROTO_INLINE_MAX_SIZE. */
export const lineBytesMax: number = 64 * kibibyte;

/** Before AUTH a client needs `AUTH user token` or `HELLO 3 AUTH … SETNAME …`; the limits are those of Redis 7. */
export const unauthenticatedArgumentsMax = 10;
export const unauthenticatedBulkBytesMax: number = 16 * kibibyte;

/** What one request may hold. */
export interface RequestLimits {
  /** Arguments of one command, its name included. */
  readonly argumentsMax: number;
  /** Bytes of one argument. */
  readonly bulkBytesMax: number;
  /** Bytes of one command with all its headers; bounds what is carried over for an unfinished one. */
  readonly commandBytesMax: number;
}

export const requestLimits: RequestLimits = {
  // What Redis allowed until 7.0, and the largest count a client library builds in practice.
  argumentsMax: 1_048_576,
  // A value holds up to 1 MiB (DESIGN §4.4); the rest lets the command itself refuse a longer one with its own error.
  bulkBytesMax: mebibyte + 64 * kibibyte,
  // 1,048,576 arguments with short keys fit; sixty values of full size as well.
  commandBytesMax: 64 * mebibyte,
};

/** What one reply may hold, so that a broken or hostile server cannot exhaust its client. */
export interface ReplyLimits {
  /** Elements of one array, set or push; pairs count twice in a map. */
  readonly elementsMax: number;
  readonly bulkBytesMax: number;
  /** Bytes of one reply with everything nested in it. */
  readonly replyBytesMax: number;
  /** Aggregates within aggregates. */
  readonly depthMax: number;
}

export const replyLimits: ReplyLimits = {
  elementsMax: 1_048_576,
  bulkBytesMax: 16 * mebibyte,
  replyBytesMax: 64 * mebibyte,
  // COMMAND DOCS, the deepest reply in use, nests to eight.
  depthMax: 32,
};

/** Digits of a RESP3 big number: reading decimal text into a bigint takes more than linear time. */
export const bigNumberDigitsMax = 4096;
