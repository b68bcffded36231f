/**
 * The catalogue of expected failures (promise P7). docs/errors.md lists the same codes; a test compares them.
 *
 * `definite`: the change was surely not made. `unknown`: it may have been; a retry with the same
 * idempotency key or session number tells which.
 */

export type Outcome = "definite" | "unknown";

export interface ErrorDescription {
  readonly outcome: Outcome;
  /** HTTP status of the problem document (RFC 9457). */
  readonly status: number;
  /** First word on the Redis protocol. `ERR` only where Redis itself says so. */
  readonly resp: string;
  /** What it means, one sentence; shown in docs/errors.md. */
  readonly summary: string;
}

const definite = (status: number, resp: string, summary: string): ErrorDescription => ({
  outcome: "definite",
  status,
  resp,
  summary,
});
const unknown = (status: number, resp: string, summary: string): ErrorDescription => ({
  outcome: "unknown",
  status,
  resp,
  summary,
});

/** Every code there is. */
export type ErrorCode =
  | "INVALID_ARGUMENT"
  | "NOT_AN_INTEGER"
  | "NOT_A_FLOAT"
  | "NOT_FINITE"
  | "OVERFLOW"
  | "OUT_OF_BOUNDS"
  | "BOUND_EXCLUDES_VALUE"
  | "PRECONDITION_FAILED"
  | "NOT_FOUND"
  | "KEY_TOO_LARGE"
  | "VALUE_TOO_LARGE"
  | "IDEMPOTENCY_MISMATCH"
  | "IDEMPOTENCY_EXPIRED"
  | "SESSION_EXPIRED"
  | "SESSION_NUMBER_USED"
  | "OVERLOADED"
  | "UNAUTHENTICATED"
  | "INDOUBT"
  | "CONNECTION_LOST"
  | "SHUTTING_DOWN"
  | "LOG_SEALED"
  | "LOG_APPEND_UNKNOWN"
  | "LOG_CORRUPT"
  | "LOG_FULL"
  | "NOQUORUM"
  | "STORE_CORRUPT"
  | "STATE_DIVERGED"
  | "VERSION_TOO_OLD"
  | "DATA_DIRECTORY_IN_USE"
  | "DATA_DIRECTORY_UNUSABLE"
  | "DISK_FULL"
  | "DISK_FAILED"
  | "PORT_IN_USE"
  | "PUBLIC_BIND_REFUSED"
  | "INVALID_CONFIGURATION";

export const errorCatalogue: Readonly<Record<ErrorCode, ErrorDescription>> = {
  INVALID_ARGUMENT: definite(400, "ERR", "The request is malformed; its text says which part."),
  NOT_AN_INTEGER: definite(409, "ERR", "The stored value or the argument is not a signed 64-bit integer."),
  NOT_A_FLOAT: definite(409, "ERR", "The stored value or the argument is not a decimal number."),
  NOT_FINITE: definite(409, "ERR", "The decimal result would not be finite; nothing changed."),
  OVERFLOW: definite(409, "ERR", "The result would not fit a signed 64-bit integer; nothing changed."),
  OUT_OF_BOUNDS: definite(409, "OUTOFBOUNDS", "The change would move the value outside its bounds; nothing changed."),
  BOUND_EXCLUDES_VALUE: definite(
    409,
    "OUTOFBOUNDS",
    "The new bounds exclude the present value; repeat with FORCE to set them all the same.",
  ),
  PRECONDITION_FAILED: definite(412, "CONFLICT", "The value or version is not the expected one; nothing changed."),
  NOT_FOUND: definite(404, "ERR", "There is no such counter."),
  KEY_TOO_LARGE: definite(400, "ERR", "The key is longer than the limit."),
  VALUE_TOO_LARGE: definite(413, "ERR", "The value is longer than the limit."),
  IDEMPOTENCY_MISMATCH: definite(
    422,
    "IDEMPOTENCYMISMATCH",
    "The idempotency key was used before with another request.",
  ),
  IDEMPOTENCY_EXPIRED: definite(
    409,
    "IDEMPOTENCYEXPIRED",
    "The idempotency key bears a time older than the retention; it is never applied again.",
  ),
  SESSION_EXPIRED: definite(409, "SESSIONEXPIRED", "The session has expired; its requests are refused for ever."),
  SESSION_NUMBER_USED: definite(
    409,
    "SESSIONNUMBER",
    "The session number is below the lowest open one: its reply was already acknowledged and dropped.",
  ),
  OVERLOADED: definite(503, "OVERLOADED", "A named limit is reached; the request was not taken. Retry later."),
  UNAUTHENTICATED: definite(401, "NOAUTH", "A token is required, or the given one is not known."),
  INDOUBT: unknown(504, "INDOUBT", "The server gave up before it knew the outcome; the change may have been made."),
  CONNECTION_LOST: unknown(503, "INDOUBT", "The connection ended before the reply; the change may have been made."),
  SHUTTING_DOWN: definite(503, "OVERLOADED", "The server is stopping and takes no new requests."),
  LOG_SEALED: definite(503, "OVERLOADED", "The log segment is sealed; the record is surely not in it."),
  LOG_APPEND_UNKNOWN: unknown(503, "INDOUBT", "The append may still appear in the log."),
  LOG_CORRUPT: definite(
    500,
    "ERR",
    "The log holds what nobody wrote there, or lacks what was; file and offset, or service and key, are named.",
  ),
  LOG_FULL: definite(507, "OVERLOADED", "The service that keeps the log takes no more: it has reached its own limit."),
  NOQUORUM: definite(
    503,
    "NOQUORUM",
    "Those who keep the log cannot be reached, or have no majority; nothing was done.",
  ),
  STORE_CORRUPT: definite(500, "ERR", "The state store holds an entry that does not decode."),
  STATE_DIVERGED: definite(
    503,
    "OVERLOADED",
    "The state of this node is not that of a majority; the node serves nothing before it has fetched theirs.",
  ),
  VERSION_TOO_OLD: definite(
    500,
    "ERR",
    "The cell writes records of a feature level that this version of Quipu does not know.",
  ),
  DATA_DIRECTORY_IN_USE: definite(500, "ERR", "Another process holds the data directory."),
  DATA_DIRECTORY_UNUSABLE: definite(500, "ERR", "The data directory cannot be created, read or written."),
  DISK_FULL: definite(507, "OVERLOADED", "No space is left for the write-ahead log; nothing was written, reads go on."),
  DISK_FAILED: unknown(500, "INDOUBT", "A write or fsync failed; the process ends, because the pages may be lost."),
  PORT_IN_USE: definite(500, "ERR", "Another process listens on the port."),
  PUBLIC_BIND_REFUSED: definite(500, "ERR", "A bind beyond this machine without authentication is refused."),
  INVALID_CONFIGURATION: definite(500, "ERR", "A flag, variable or setting is unknown or has a value out of range."),
};

/** An expected failure. Switch on `code`; `outcome` tells whether a blind retry is safe. */
export class QuipuError extends Error {
  override readonly name = "QuipuError";
  readonly code: ErrorCode;
  readonly outcome: Outcome;
  constructor(code: ErrorCode, message: string, options?: { readonly outcome?: Outcome; readonly cause?: unknown }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.outcome = options?.outcome ?? errorCatalogue[code].outcome;
  }
}
