/** What a run ends with when a check does not hold: the name of the check, and what was seen. */

/** Every check of the simulator, so that tables and mutations name them alike. */
export type CheckName =
  | "acknowledged-lost"
  | "applied-too-often"
  | "reply-differs"
  | "reply-order"
  | "read-stale"
  | "read-differs"
  | "record-changed"
  | "state-hash"
  | "model-differs"
  | "bounds"
  | "log-time"
  | "expiry"
  | "retry-differs"
  | "start-refused"
  | "corruption-accepted"
  | "fatal-without-fault"
  | "not-live"
  | "threw"
  // Of a cell: what Raft promises (research/consensus.md §1.2), seen from outside.
  | "election-safety"
  | "log-matching"
  | "leader-completeness"
  | "committed-changed"
  | "committed-without-quorum"
  | "committed-old-term"
  | "promise-not-durable"
  | "durable-lost"
  | "went-back"
  | "log-order"
  | "state-diverged"
  | "progress"
  | "configuration"
  | "seal"
  | "chain"
  | "trimmed-too-far"
  | "queue-too-long"
  | "not-converged"
  | "linearizability";

export class SimulationFailure extends Error {
  override readonly name = "SimulationFailure";
  readonly check: CheckName;
  constructor(check: CheckName, message: string, cause?: unknown) {
    super(`${check}: ${message}`, cause === undefined ? undefined : { cause });
    this.check = check;
  }
}

export function check(holds: boolean, name: CheckName, message: () => string): asserts holds {
  if (!holds) throw new SimulationFailure(name, message());
}
