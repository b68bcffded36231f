/**
 * Deliberate bugs of the consensus groups behind a test-only switch: the simulator must catch every one of them
 * (docs/testing.md). No configuration reaches this.
 */
export type GroupMutation =
  /** What may leave only once its persist is durable leaves at once. */
  | "send-after-ignored"
  /** Term and vote stay what they were at the start. */
  | "hard-state-not-written"
  /** The leader's word that it has the records is taken for their commitment. */
  | "append-acknowledged-when-proposed"
  /** What this member's own snapshots cover is trimmed, whatever the others have. */
  | "trim-on-own-checkpoint-only"
  /** A tail repeats what the last barrier said. */
  | "barrier-answer-cached"
  /** The leader proposes forwards in the order in which they come. */
  | "forward-order-ignored"
  /** Readers are given what stands behind the seal. */
  | "reader-passes-seal";
