/** What the simulation needs of what is known about one group, whichever core keeps it. */
import type { Configuration, CoreView, Entry, MemberId } from "@quipu/consensus";
import type { DurableTime } from "./durable-time.ts";

/** What the invariants look at: the real group of a node. */
export interface ObservedGroup {
  readonly engine: "raft" | "multi-paxos";
  inspect(): CoreView;
  entry(index: number): Entry | undefined;
}

/** What is committed in a group, whoever knows it. */
export interface CommittedLog {
  readonly committedUpTo: number;
  /** Where the log ends for ever, once that is committed. */
  readonly sealedAt: number | undefined;
  committedEntry(index: number): Entry | undefined;
}

/** One member of it, over all its lives. */
export interface BookedMember {
  readonly name: string;
  /** As seen last. */
  readonly view: CoreView | undefined;
  readonly isAlive: boolean;
  readonly isHardStateDurable: boolean;
  /** Others have heard its word for that term, or ballot. */
  promised(term: number): void;
  /** Multi-Paxos: others have heard that it has accepted this slot in that ballot, or knows what was chosen there. */
  accepted?(slot: number, ballot: number): void;
  /** The term of the entry at `index` if it can be durable here, or was when this member was last heard of. */
  durableTerm(index: number): number | undefined;
  /** True where the whole log up to `index` can be durable here, because it stands below the log's start. */
  isBelowStart(index: number): boolean;
}

export interface ConsensusBook {
  readonly engine: "raft" | "multi-paxos";
  readonly registry: CommittedLog;
  /** The last one that is committed. */
  readonly configuration: Configuration | undefined;
  member(member: MemberId): BookedMember | undefined;
  /** The living member that leads in the highest term, if any does. */
  leader(): CoreView | undefined;
  died(member: MemberId): void;
  /** Somebody says to others that `member` leads `term`. */
  led(member: MemberId, term: number): void;
  /** After every step of a member's core. */
  observe(group: ObservedGroup, time: DurableTime): CoreView;
}

export interface BookOptions {
  readonly group: number;
  /** Up to which position of this group its log is needed no more for what that member has in its store. */
  readonly storedUpTo: (member: MemberId) => number;
  readonly onCommitted?: (entry: Entry) => void;
}
