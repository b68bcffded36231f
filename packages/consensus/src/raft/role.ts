/** Roles: what only one of them has lives only in its variant. */
import type { LogIndex, MemberId } from "../quantities.ts";
import type { ReadQueue } from "../read-queue.ts";
import type { Progress } from "./progress.ts";

export type RoleState = Follower | PreCandidate | Candidate | Leader;

/** A wait that ends in an election. */
interface Waiting {
  elapsedTicks: number;
  /** Drawn anew from [electionTicks, 2 electionTicks) for each wait (Raft §5.2). */
  readonly timeoutTicks: number;
}

export interface Follower extends Waiting {
  readonly role: "follower";
  readonly leader: MemberId | undefined;
}

/** Asks whether it could win, before it moves anybody to a new term (thesis §9.6). */
export interface PreCandidate extends Waiting {
  readonly role: "preCandidate";
  readonly votes: Map<MemberId, boolean>;
}

export interface Candidate extends Waiting {
  readonly role: "candidate";
  readonly votes: Map<MemberId, boolean>;
  /** Its own vote counts once the persist with this token is durable. */
  readonly ownVoteToken: number;
}

export interface Leader {
  readonly role: "leader";
  /** Every other member of the configuration in force. */
  readonly progress: Map<MemberId, Progress>;
  readonly reads: ReadQueue;
  /** Of the no-op that opened the term: once it is committed, an entry of the own term is. */
  readonly openedAt: LogIndex;
  heartbeatElapsedTicks: number;
  quorumCheckElapsedTicks: number;
  transfer: Transfer | undefined;
}

/** Leadership on its way to another member (thesis §3.10). */
export interface Transfer {
  readonly to: MemberId;
  elapsedTicks: number;
}
