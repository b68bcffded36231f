/** Roles: what only one of them has lives only in its variant. */
import type { Entry } from "../contract.ts";
import type { LogIndex, MemberId } from "../quantities.ts";
import type { ReadQueue } from "../read-queue.ts";
import type { Acknowledgements } from "./acknowledgements.ts";
import type { AcceptedBallot } from "./messages.ts";
import type { Progress } from "./progress.ts";

export type RoleState = Follower | Candidate | Leader;

export interface Follower {
  readonly role: "follower";
  readonly leader: MemberId | undefined;
  /** Since the leader was heard of. */
  silentTicks: number;
}

/** In phase 1 of the ballot that it has promised itself. */
export interface Candidate {
  readonly role: "candidate";
  /** Of the other voters that have answered. */
  readonly answers: Map<MemberId, Answer>;
  /** Its own promise counts once the persist with this token is durable. */
  readonly ownPromiseToken: number;
  askedElapsedTicks: number;
  /** Ends of election rounds in a row by which nothing more was told. */
  idleRounds: number;
}

/** What one acceptor has told so far. */
export interface Answer {
  /** Slots up to this are told. */
  covered: LogIndex;
  /** What of it was told, ascending. */
  readonly entries: Entry[];
  isComplete: boolean;
  chosen: LogIndex;
  accepted: AcceptedBallot;
  /** It has trimmed what the candidate lacks. */
  isTrimmed: boolean;
  /** It was asked to lead itself, within this election round. */
  wasOffered: boolean;
}

/** In phase 2. */
export interface Leader {
  readonly role: "leader";
  /** Every other member. */
  readonly progress: Map<MemberId, Progress>;
  readonly reads: ReadQueue;
  /** Which voters have accepted which slot beyond the chosen prefix. */
  readonly acknowledgements: Acknowledgements;
  /** What its phase 1 has recovered ends here: before that is chosen, it may not know what is. */
  readonly recoveredUpTo: LogIndex;
  heartbeatNumber: number;
  heartbeatElapsedTicks: number;
  transfer: Transfer | undefined;
}

/** Leadership on its way to another member. */
export interface Transfer {
  readonly to: MemberId;
  elapsedTicks: number;
}
