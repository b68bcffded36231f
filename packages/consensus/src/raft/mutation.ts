/**
 * Deliberate bugs behind a test-only switch: the simulator must catch every one of them (docs/testing.md). Each is a
 * branch of one line at the place where the rule is kept. No configuration reaches this.
 */
export type RaftMutation =
  | "vote-not-persisted"
  | "acknowledge-before-persist"
  | "leader-counts-itself-early"
  | "commit-old-term-by-counting"
  | "truncate-matching-suffix"
  | "vote-ignores-log"
  | "two-votes-per-term"
  | "read-before-own-term-commit"
  | "read-without-quorum"
  | "barrier-reused"
  | "joint-quorum-of-new-only"
  | "learner-counted"
  | "configuration-kept-after-truncation"
  | "seal-not-final"
  | "stale-acknowledgement"
  | "restart-forgets-configuration"
  | "commit-beyond-match"
  | "change-before-own-term-commit";
