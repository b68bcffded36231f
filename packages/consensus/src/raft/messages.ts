/** What Raft members say to each other: one variant per meaning. Every message carries its sender's term. */
import type { Entry } from "../contract.ts";
import type { LogIndex, Term } from "../quantities.ts";

export type RaftMessage =
  | AppendEntries
  | AppendAccepted
  | AppendRejected
  | Heartbeat
  | HeartbeatReply
  | RequestVote
  | VoteReply
  | TimeoutNow
  | SnapshotNeeded;

/** Raft §5.3. */
export interface AppendEntries {
  readonly type: "appendEntries";
  readonly term: Term;
  /** The entry before the first of `entries`. */
  readonly previousIndex: LogIndex;
  readonly previousTerm: Term;
  /** Without holes, from `previousIndex + 1`; may be empty. */
  readonly entries: readonly Entry[];
  readonly commit: LogIndex;
  /** See {@link Heartbeat.barrier}. */
  readonly barrier: number;
}

/** The sender's log equals the leader's up to `match`, and that much is durable there. */
export interface AppendAccepted {
  readonly type: "appendAccepted";
  readonly term: Term;
  readonly match: LogIndex;
  readonly barrier: number;
}

/** The entry before was missing or of another term. */
export interface AppendRejected {
  readonly type: "appendRejected";
  readonly term: Term;
  /** `previousIndex` of the refused message, so that a late refusal is recognised. */
  readonly rejected: LogIndex;
  /** A guess at where the logs agree: the leader may go on from `hintIndex`, whose term here is `hintTerm`. */
  readonly hintIndex: LogIndex;
  readonly hintTerm: Term;
  readonly barrier: number;
}

export interface Heartbeat {
  readonly type: "heartbeat";
  readonly term: Term;
  /** Never above what the receiver is known to hold. */
  readonly commit: LogIndex;
  /**
   * Monotone within a term: whoever echoes at least b took its sender for the leader after barrier b was asked for
   * (Raft §8, thesis §6.4). Never an id that could be used again.
   */
  readonly barrier: number;
}

export interface HeartbeatReply {
  readonly type: "heartbeatReply";
  readonly term: Term;
  readonly barrier: number;
}

/** Raft §5.2, §5.4.1; as a pre-vote (thesis §9.6) it asks about `term` without anybody moving to it. */
export interface RequestVote {
  readonly type: "requestVote";
  readonly term: Term;
  readonly preVote: boolean;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** Leadership was transferred to the sender: heard from a leader or not, answer (thesis §4.2.3). */
  readonly transfer: boolean;
}

export interface VoteReply {
  readonly type: "voteReply";
  /** Of a granted pre-vote: the term asked about; else the sender's own. */
  readonly term: Term;
  readonly preVote: boolean;
  readonly granted: boolean;
}

/** Campaign at once (thesis §3.10). */
export interface TimeoutNow {
  readonly type: "timeoutNow";
  readonly term: Term;
}

/** In place of entries that the leader has trimmed; also a heartbeat. Answered by AppendRejected with the sender's end. */
export interface SnapshotNeeded {
  readonly type: "snapshotNeeded";
  readonly term: Term;
  /** A state snapshot of this index, or a later one, lets the leader go on. */
  readonly atLeast: LogIndex;
  readonly commit: LogIndex;
  readonly barrier: number;
}
