/**
 * Deliberate bugs behind a test-only switch: the simulator must catch every one of them (docs/testing.md). No
 * configuration reaches these; only a test that builds a replica by hand can set them.
 */
export type ReplicaMutation = "resubmit-with-new-number" | "read-ignores-tail";

export type CheckpointerMutation = "position-not-atomic-with-state" | "trim-before-store-sync";
