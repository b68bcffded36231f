/** How log and state can fail to belong together, as errors for people; and which errors of a log pass by themselves. */
import { type Lsn, QuipuError } from "@quipu/core";

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

export function recordNotUnderstood(position: Lsn): QuipuError {
  const message = `the record at position ${position} is of a format or feature level that this version does not know`;
  return new QuipuError("LOG_CORRUPT", message);
}

/** No quorum, no leader at the moment: the same question may have an answer soon. */
export function isTemporary(error: unknown): boolean {
  return error instanceof QuipuError && (error.code === "OVERLOADED" || error.code === "LOG_APPEND_UNKNOWN");
}
