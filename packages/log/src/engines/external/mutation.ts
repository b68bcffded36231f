/**
 * Deliberate bugs of the driver, and one of the model of a service, behind a test-only switch: the property tests must
 * catch every one of them. No configuration reaches this.
 */
export type ExternalMutation =
  /** An append without an answer counts as one that was not done, and goes out again at the next head. */
  | "unknown-taken-for-failure"
  /** An append without an answer counts as one that was done. */
  | "unknown-taken-for-success"
  /** A second attempt that finds the head moved does not look whether its first one moved it. */
  | "moved-batch-resent-without-check"
  /** The number that comes with a hint is taken for that of the head. */
  | "hint-trusted"
  /** A batch that is not there is passed over. */
  | "hole-passed"
  /** A tail repeats what the last look at the head said. */
  | "tail-from-cache"
  /** The service appends to a sealed log. */
  | "seal-ignored-in-append-condition";
