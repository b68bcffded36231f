/**
 * Deliberate bugs behind a test-only switch: the simulator must catch every one of them (docs/testing.md). No
 * configuration reaches this; only a test that opens the log by hand can set it.
 */
export type LogMutation =
  | "acknowledge-before-sync"
  | "torn-tail-rule-in-mid-file"
  | "fsync-error-retried"
  | "directory-not-synced"
  /** A start takes a replaced suffix for the live one. */
  | "truncation-forgotten-at-recovery"
  /** Whatever record has the index that comes next is read, overwritten or not. */
  | "overwritten-record-read"
  /** Records first, the hard state of the same write in a frame of its own behind. */
  | "write-split-in-two-frames"
  /** A log that begins anew keeps the records from its new beginning on. */
  | "restart-keeps-old-records";
