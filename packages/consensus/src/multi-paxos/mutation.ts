/**
 * Deliberate bugs behind a test-only switch: the tests must catch every one of them (docs/testing.md). Each is a branch
 * of one line at the place where the rule is kept. No configuration reaches this.
 */
export type MultiPaxosMutation =
  | "own-value-although-one-was-reported"
  | "no-noop-fill"
  | "promise-not-durable"
  | "accept-not-durable"
  | "leader-counts-itself-early"
  | "trimmed-acceptor-says-empty"
  | "accepts-below-promise"
  | "ballot-without-node"
  | "stale-higher-slots-kept"
  | "barrier-without-quorum"
  | "barrier-reused"
  | "read-before-recovered"
  | "phase-1-quorum-too-small"
  | "phase-1-takes-half-an-answer"
  | "reported-lower-ballot-wins"
  | "seal-forgotten-in-phase-1"
  | "chosen-in-another-ballot"
  | "install-forgets-accepted"
  | "proposes-behind-seal";
