/** How log and state can fail to belong together, as errors for people; which errors pass by themselves, and which do not. */
import { type ErrorCode, InvariantViolation, type Lsn, QuipuError } from "@quipu/core";
import { recordFeatureLevel } from "@quipu/counters";

/** The log is cut only below a checkpoint, so it always ends above one. */
export function logTooShort(tail: Lsn, applied: Lsn): QuipuError {
  const message = `the state stands at position ${applied}, but the log ends before position ${tail}: its end is missing`;
  return new QuipuError("LOG_CORRUPT", message);
}

export function logBeginsTooLate(trimmedUpTo: Lsn, applied: Lsn): QuipuError {
  const message =
    `the log begins after position ${trimmedUpTo}, but the state store ends at ${applied}: ` +
    "records between them are missing";
  return new QuipuError("LOG_CORRUPT", message);
}

/** The log was cut under its reader, and nobody else has the state. */
export function gapWithoutPeers(trimmedUpTo: Lsn, applied: Lsn, isStarting: boolean): Error {
  return isStarting
    ? logBeginsTooLate(trimmedUpTo, applied)
    : new InvariantViolation(`the log was trimmed to ${trimmedUpTo} under a reader at ${applied + 1}`);
}

/** Passed over, it would lose what somebody acknowledged; applied as if it were known, replicas would diverge. */
export function recordNotUnderstood(position: Lsn, record: Uint8Array, levelMax: number): QuipuError {
  const level = recordFeatureLevel(record);
  if (level !== undefined && level > levelMax) {
    const levels = `feature level ${level}, this version knows ${levelMax}`;
    return new QuipuError("VERSION_TOO_OLD", `the record at position ${position} is of ${levels}`);
  }
  return new QuipuError("LOG_CORRUPT", `the record at position ${position} is of a format that is not known`);
}

export function tooLarge(bytesMax: number): QuipuError {
  return new QuipuError("VALUE_TOO_LARGE", `the command takes more than ${bytesMax} bytes in the log`);
}

const temporaryCodes: readonly ErrorCode[] = ["OVERLOADED", "NOQUORUM", "LOG_APPEND_UNKNOWN"];

/** No quorum, no leader at the moment: the same question may have an answer soon. */
export function isTemporary(error: unknown): boolean {
  return error instanceof QuipuError && temporaryCodes.includes(error.code);
}

export function isDamage(error: unknown): boolean {
  return error instanceof QuipuError && (error.code === "STORE_CORRUPT" || error.code === "LOG_CORRUPT");
}

export function stopping(): QuipuError {
  return new QuipuError("SHUTTING_DOWN", "the server is stopping");
}

export function notYet(): QuipuError {
  return new QuipuError("OVERLOADED", "this node fetches the state from another and is not ready; retry later");
}

export function diverged(position: Lsn, isFetched: boolean): QuipuError {
  const text = `at position ${position} the state is not that of a majority`;
  return new QuipuError("STATE_DIVERGED", isFetched ? `${text}; it is fetched` : `${text}, again`);
}
