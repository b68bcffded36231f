/**
 * What Multi-Paxos members say to each other: one variant per meaning. Ballots are the terms of the contract. No message
 * relies on the order, the single arrival or the arrival of any other.
 */
import type { Entry } from "../contract.ts";
import type { LogIndex, Term } from "../quantities.ts";

export type PaxosMessage =
  | Prepare
  | Promised
  | Accept
  | Accepted
  | Rejected
  | Chosen
  | PaxosHeartbeat
  | PaxosHeartbeatReply
  | PaxosSnapshotNeeded
  | TakeOver
  | ElectionRequest
  | ElectionReply;

/**
 * The highest ballot in which a member accepted anything, or heard its leader; and the first slot which that leader was
 * free to choose a value for. Ballot 0: none yet.
 */
export interface AcceptedBallot {
  readonly ballot: Term;
  readonly freeFrom: LogIndex;
}

/** Phase 1a, for every slot from `from` on. Asked again with a later `from` until all chunks of the answer are there. */
export interface Prepare {
  readonly type: "prepare";
  readonly ballot: Term;
  readonly from: LogIndex;
}

/** Phase 1b: a chunk of what the sender has accepted. */
export interface Promised {
  readonly type: "promised";
  readonly ballot: Term;
  /** As asked. */
  readonly from: LogIndex;
  /** The chunk tells all slots `from..through`; `through >= last`: it was the last one. */
  readonly through: LogIndex;
  /** The highest slot in which the sender has accepted anything. */
  readonly last: LogIndex;
  /** The sender's log begins after this. If `from <= start` it cannot tell: its asker needs a state snapshot. */
  readonly start: LogIndex;
  /** Every slot up to this is chosen, and the sender has what was. */
  readonly chosen: LogIndex;
  readonly accepted: AcceptedBallot;
  /** Ascending, within `from..through`, with the ballots they were accepted in; slots without any are left out. */
  readonly entries: readonly Entry[];
}

/** Phase 2a. Of the leader of `ballot`, like all down to {@link PaxosSnapshotNeeded} but for the answers. */
export interface Accept {
  readonly type: "accept";
  readonly ballot: Term;
  /** See {@link AcceptedBallot}. */
  readonly freeFrom: LogIndex;
  /** Without holes, at least one. Of this ballot; those up to `chosen` may be of an earlier one, and are to be learned. */
  readonly entries: readonly Entry[];
  /** Every slot up to this is chosen; a value accepted in this very ballot is the one that was. */
  readonly chosen: LogIndex;
  /** See {@link PaxosHeartbeat.barrier}. */
  readonly barrier: number;
}

/** Phase 2b: slots `first..last` are durable at the sender in this ballot, or chosen; and so is everything up to `match`. */
export interface Accepted {
  readonly type: "accepted";
  readonly ballot: Term;
  readonly first: LogIndex;
  readonly last: LogIndex;
  readonly match: LogIndex;
  readonly barrier: number;
}

/** `ballot` is refused: the sender has promised a higher one. */
export interface Rejected {
  readonly type: "rejected";
  readonly ballot: Term;
  readonly promised: Term;
}

/** Tells a commit position, and nothing but that; not answered. */
export interface Chosen {
  readonly type: "chosen";
  readonly ballot: Term;
  readonly freeFrom: LogIndex;
  readonly chosen: LogIndex;
}

export interface PaxosHeartbeat {
  readonly type: "paxosHeartbeat";
  readonly ballot: Term;
  readonly freeFrom: LogIndex;
  readonly chosen: LogIndex;
  /** Monotone within a ballot, so that an answer is not taken for that of a later one. */
  readonly number: number;
  /**
   * Monotone within a ballot: whoever echoes at least b had promised nothing higher after barrier b was asked for.
   * Never an id that could be used again.
   */
  readonly barrier: number;
}

/** Also the answer to {@link PaxosSnapshotNeeded}. */
export interface PaxosHeartbeatReply {
  readonly type: "paxosHeartbeatReply";
  readonly ballot: Term;
  readonly number: number;
  readonly barrier: number;
  /** Everything up to this is durable at the sender, in this ballot or chosen. */
  readonly match: LogIndex;
  /** The same, but for durable: what is above it may be lost. */
  readonly received: LogIndex;
}

/** In place of entries that the leader has trimmed; also a heartbeat. */
export interface PaxosSnapshotNeeded {
  readonly type: "paxosSnapshotNeeded";
  readonly ballot: Term;
  readonly freeFrom: LogIndex;
  readonly chosen: LogIndex;
  /** A state snapshot of this index, or a later one, lets the leader go on. */
  readonly atLeast: LogIndex;
  readonly number: number;
  readonly barrier: number;
}

/** The sender, leader or candidate of `ballot`, wants the receiver in its place. */
export interface TakeOver {
  readonly type: "takeOver";
  readonly ballot: Term;
}

/** Ballot leader election (OmniPaxos §5): who answers within the round is connected. */
export interface ElectionRequest {
  readonly type: "electionRequest";
  /** The asker's own count. */
  readonly round: number;
}

export interface ElectionReply {
  readonly type: "electionReply";
  readonly round: number;
  /** The sender's own. */
  readonly ballot: Term;
  /** The highest one that the sender knows of. */
  readonly leader: Term;
  /** The sender hears a leader that has a quorum. */
  readonly happy: boolean;
}
