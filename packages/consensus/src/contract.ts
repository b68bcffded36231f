/**
 * The contract of a consensus core: a synchronous, total, deterministic function, input in, ordered effects out.
 * No clock, no randomness but the injected one, no promise, no I/O. One shell drives every core, in production
 * and in the simulator (DESIGN §4.1).
 *
 * - Remote input never throws: what cannot be right is dropped and counted. A broken local invariant throws
 *   InvariantViolation, and whoever owns the core ends the process.
 * - The core replicates records. State snapshots travel above the log; a core only learns "the log begins
 *   after index i, term t, with this configuration" ({@link LogStart}).
 * - Effects are carried out in the order given. `persist` effects are durable in order (FIFO), several may be
 *   under way; what stands in `sendAfter` leaves only once its persist is durable; `send` may leave at once.
 */
import type { Random } from "@quipu/core";
import type { Configuration, LogIndex, MemberId, Term } from "./quantities.ts";

/** What one place of the log holds. The log owns `data`; nobody changes it. */
export type Entry = { readonly index: LogIndex; readonly term: Term } & EntryContent;

export type EntryContent =
  /** Somebody's record. Only these are delivered to readers. */
  | { readonly kind: "record"; readonly data: Uint8Array }
  /** Opens a leader's term (Raft §8). */
  | { readonly kind: "noop" }
  /** In force as soon as it is in the log (Raft §6). */
  | { readonly kind: "configuration"; readonly configuration: Configuration }
  /** Committed: the log ends here for ever; whatever stands behind it is void. */
  | { readonly kind: "seal" };

/** What must survive a crash beside the log. */
export interface HardState {
  /** Latest term this member has seen; never decreases. */
  readonly term: Term;
  /** Who got this member's vote in `term`, if anyone. Multi-Paxos: undefined. */
  readonly vote: MemberId | undefined;
  /**
   * Multi-Paxos only, else absent: the highest ballot in which this member accepted anything, and the first slot that its
   * leader was free to choose a value for. Nothing that was accepted under a lower ballot can be chosen from there on.
   */
  readonly accepted?: { readonly ballot: Term; readonly freeFrom: LogIndex };
  /**
   * Multi-Paxos only, else absent: slots up to this were chosen and durable here when it was noted, which is now and then.
   * Who does not keep it starts from the log's start: safe, but a new leader proposes everything since then once more.
   */
  readonly chosen?: LogIndex;
}

/** The log begins after `index`: everything up to it is committed, applied and stands in state snapshots. */
export interface LogStart {
  /** 0: nothing was trimmed. */
  readonly index: LogIndex;
  /** Term of the entry at `index`; 0 at index 0. */
  readonly term: Term;
  /** As of `index`. Empty in a member that knows no cell yet: it waits to be contacted, and never campaigns. */
  readonly configuration: Configuration;
}

/** What a member finds on its disk at start; for a new one hard state zero, the founding start, no entries. */
export interface RestoredState {
  readonly hardState: HardState;
  readonly start: LogStart;
  /** Above `start.index`, ascending; without holes in Raft, perhaps with some in Multi-Paxos. */
  readonly entries: readonly Entry[];
}

/** A message with its destination. Immutable. */
export interface Envelope<Message> {
  readonly to: MemberId;
  readonly message: Message;
}

/** Chosen by the shell, unique within the life of a core. */
export type RequestId = number;

export type Input<Message> =
  /** A fixed interval of time has passed. */
  | { readonly type: "tick" }
  | { readonly type: "receive"; readonly from: MemberId; readonly message: Message }
  /** Appends all records next to each other, or none. Answered by `proposed` or `reply`. */
  | { readonly type: "propose"; readonly request: RequestId; readonly records: readonly Uint8Array[] }
  /** Ends the log for ever. Answered by `proposed` or `reply`; a log whose seal is committed: `reply` "sealed". */
  | { readonly type: "seal"; readonly request: RequestId }
  /** Answered by `barrierReady` or `reply`. */
  | { readonly type: "readBarrier"; readonly request: RequestId }
  /**
   * Moves to these voters and learners through a joint configuration, which the leader leaves by itself. Answered by
   * `proposed` (the joint entry) or `reply`.
   */
  | {
      readonly type: "changeMembers";
      readonly request: RequestId;
      readonly voters: readonly MemberId[];
      readonly learners: readonly MemberId[];
    }
  /** Best effort; only a leader does anything, and gives up after an election timeout. */
  | { readonly type: "transferLeadership"; readonly to: MemberId }
  /** The persist with this token is durable. In order; one may stand for all before it. */
  | { readonly type: "persisted"; readonly token: number }
  /** State up to `upTo` (committed and delivered) stands in synced snapshots: the log may begin after it. */
  | { readonly type: "trim"; readonly upTo: LogIndex }
  /**
   * A state snapshot of exactly `start.index` is durable on this member: unless the log reaches further already with
   * a matching entry, it begins anew after it.
   */
  | { readonly type: "installed"; readonly start: LogStart }
  /** A hint: something sent to that member was surely lost. */
  | { readonly type: "peerUnreachable"; readonly member: MemberId };

/** Why a request was not taken. All are definite: nothing was appended, now or later. */
export type ReplyReason =
  /** Not the leader (any more), or the leadership is being transferred: try `leader`, or later. */
  | "dropped"
  | "sealed"
  /** A named limit is reached. */
  | "overloaded"
  /** changeMembers only: another change is under way, the change is empty, or a new voter is too far behind. */
  | "refused";

export type Effect<Message> =
  | {
      readonly type: "persist";
      /** Grows by one with each persist. */
      readonly token: number;
      /** Undefined: unchanged. */
      readonly hardState: HardState | undefined;
      /** The log begins anew after this, all entries gone; else undefined. Before `truncateFrom` and `append`. */
      readonly restart: LogStart | undefined;
      /** Entries up to this are no longer needed; else undefined. */
      readonly trim: LogStart | undefined;
      /** Entries from this index on are gone, before `append`; undefined: none are. */
      readonly truncateFrom: LogIndex | undefined;
      /** Raft: behind the last, without holes. Multi-Paxos: each takes the place of what stood at its index, if anything. */
      readonly append: readonly Entry[];
      readonly sendAfter: readonly Envelope<Message>[];
    }
  | { readonly type: "send"; readonly envelope: Envelope<Message> }
  /**
   * Entries up to `upTo` are committed by the group AND durable on this member: deliver them. Grows. They are read
   * through {@link ConsensusCore.entry}.
   */
  | { readonly type: "commit"; readonly upTo: LogIndex }
  /** The request's entries stand in the leader's log at `first..last` in `term`: not yet committed. */
  | {
      readonly type: "proposed";
      readonly request: RequestId;
      readonly term: Term;
      readonly first: LogIndex;
      readonly last: LogIndex;
    }
  /** Everything committed before the request came is at or below `index`. */
  | { readonly type: "barrierReady"; readonly request: RequestId; readonly index: LogIndex }
  | {
      readonly type: "reply";
      readonly request: RequestId;
      readonly reason: ReplyReason;
      readonly leader: MemberId | undefined;
    }
  /** The leader has trimmed what this member needs: fetch a state snapshot of at least `atLeast`. Repeated. */
  | { readonly type: "needSnapshot"; readonly from: MemberId; readonly atLeast: LogIndex }
  | {
      readonly type: "role";
      readonly role: Role;
      readonly term: Term;
      readonly leader: MemberId | undefined;
    }
  /** The configuration in force has changed (also back, by truncation). */
  | { readonly type: "configuration"; readonly configuration: Configuration; readonly index: LogIndex };

export type Role = "follower" | "preCandidate" | "candidate" | "leader";

export interface ConsensusCore<Message> {
  /** Takes one input; returns what is to be done for it, in order. */
  step(input: Input<Message>): readonly Effect<Message>[];
  /** The entry at `index`, while it is in the log. */
  entry(index: LogIndex): Entry | undefined;
  /** Where a log that a state snapshot of `index` replaces would begin; undefined if that is not known any more, or yet. */
  startAt(index: LogIndex): LogStart | undefined;
  /** For status pages, membership policy, tests and the simulator's invariants. Cheap; a fresh frozen picture. */
  inspect(): CoreView;
}

export interface CoreView {
  readonly member: MemberId;
  readonly role: Role;
  readonly term: Term;
  readonly vote: MemberId | undefined;
  readonly leader: MemberId | undefined;
  /** Log: entries are `start.index + 1 .. last`. */
  readonly start: LogStart;
  readonly last: LogIndex;
  readonly lastTerm: Term;
  /** `start.index <= delivered <= committed <= last`; delivered also <= persisted. */
  readonly committed: LogIndex;
  readonly delivered: LogIndex;
  /** Every entry up to this is durable here as it stands now. */
  readonly persisted: LogIndex;
  /** Index of the committed seal. */
  readonly sealedAt: LogIndex | undefined;
  readonly configuration: Configuration;
  /** Index of the entry that brought it; `start.index` if none in the log did. */
  readonly configurationIndex: LogIndex;
  /** Leader only, else empty: how far each other member is known to be. */
  readonly progress: readonly MemberProgress[];
  /** Messages that could not be right and were dropped. */
  readonly droppedMessages: number;
}

export interface MemberProgress {
  readonly member: MemberId;
  readonly state: "probe" | "replicate" | "snapshot";
  /** Known to be durable there and equal to ours; `match < next`. */
  readonly match: LogIndex;
  readonly next: LogIndex;
  /** Heard from since the last check of the quorum. */
  readonly active: boolean;
}

export interface CoreOptions<Settings> {
  readonly member: MemberId;
  readonly random: Random;
  readonly settings: Settings;
  readonly restored: RestoredState;
}
