/**
 * Deliberate bugs behind a test-only switch: the simulator must catch every one of them (docs/testing.md). No
 * configuration reaches this; only a test that opens the log by hand can set it.
 */
export type LogMutation =
  | "acknowledge-before-sync"
  | "torn-tail-rule-in-mid-file"
  | "fsync-error-retried"
  | "directory-not-synced";
