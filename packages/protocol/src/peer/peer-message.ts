/**
 * What nodes of a cell say to each other (port 7381): consensus, appends and reads through the leader, trimming,
 * membership, state snapshots. Everything may be lost, repeated, late or out of order: whoever receives must cope.
 */
import type { LogIndex, MemberId, PaxosMessage, RaftMessage, ReplyReason, Term } from "@quipu/consensus";
import type { GroupEngine } from "./group-state.ts";

export type PeerMessage =
  | RaftPeerMessage
  | PaxosPeerMessage
  | Forward
  | ForwardReply
  | Barrier
  | BarrierReply
  | Checkpointed
  | Join
  | GroupMade
  | GroupMadeReply
  | GroupDropped
  | SnapshotRequest
  | SnapshotChunk
  | SnapshotRefused
  | StateHashes
  | Stored
  | ServiceAppend
  | ServiceAppendReply;

/** One message of one Raft group. */
export interface RaftPeerMessage {
  readonly type: "raft";
  readonly group: number;
  readonly message: RaftMessage;
}

/** One message of one Multi-Paxos group. */
export interface PaxosPeerMessage {
  readonly type: "paxos";
  readonly group: number;
  readonly message: PaxosMessage;
}

/** An append (or seal) of the sender's own replica, to be proposed by the leader in the order of `sequence`. */
export interface Forward {
  readonly type: "forward";
  readonly group: number;
  /** Only for the leader of this term: nothing that is late is proposed under a later one, behind what came since. */
  readonly term: Term;
  /**
   * Below 2^48. The upper 32 bits are random, new for each life of the sender; the lower 16 count within it: each time the
   * sender turns to a leader it begins a later stream, and has given up the ones before.
   */
  readonly stream: number;
  /** From 1 within the stream, without holes. */
  readonly sequence: number;
  /** At least one record; or the log is to be sealed. */
  readonly operation: { readonly kind: "append"; readonly records: readonly Uint8Array[] } | { readonly kind: "seal" };
}

export interface ForwardReply {
  readonly type: "forwardReply";
  readonly group: number;
  readonly stream: number;
  readonly sequence: number;
  readonly outcome:
    | { readonly kind: "proposed"; readonly term: Term; readonly first: LogIndex; readonly last: LogIndex }
    | { readonly kind: "refused"; readonly reason: ReplyReason; readonly leader: MemberId | undefined }
    /** Not taken: that sequence number must come first. */
    | { readonly kind: "outOfOrder"; readonly expected: number };
}

/** Asks the leader for a read barrier. */
export interface Barrier {
  readonly type: "barrier";
  readonly group: number;
  /** Unique in the life of the sender. */
  readonly request: number;
  /** Tells lives of the sender apart; below 2^48. */
  readonly stream: number;
}

export interface BarrierReply {
  readonly type: "barrierReply";
  readonly group: number;
  readonly request: number;
  readonly stream: number;
  /** Undefined: not the leader; try `leader`, or later. */
  readonly index: LogIndex | undefined;
  readonly leader: MemberId | undefined;
}

/** The sender's state up to `upTo` stands in its synced state store. Sent to all members now and then. */
export interface Checkpointed {
  readonly type: "checkpointed";
  readonly group: number;
  readonly upTo: LogIndex;
}

/** The sender is in no configuration of this group and wants to be: in place of an older member of its node, if any. */
export interface Join {
  readonly type: "join";
  readonly group: number;
}

/** There is a new group, and the receiver is of its founding voters. Repeated until the group works. */
export interface GroupMade {
  readonly type: "groupMade";
  readonly group: number;
  readonly engine: GroupEngine;
  /** Ascending; at least one. */
  readonly members: readonly MemberId[];
}

/** The sender drives that group now. */
export interface GroupMadeReply {
  readonly type: "groupMadeReply";
  readonly group: number;
  /** It knows a leader there, and has read up to its commit position once. */
  readonly ready: boolean;
}

/** The group came to nothing: it is in no log, and never will be. */
export interface GroupDropped {
  readonly type: "groupDropped";
  readonly group: number;
}

/** Asks for a piece of a state snapshot; the receiver makes one if it has none that fits. */
export interface SnapshotRequest {
  readonly type: "snapshotRequest";
  readonly shard: number;
  /** Chosen by the sender, new for each transfer; below 2^48. */
  readonly transfer: number;
  /** A snapshot of an older position is of no use. */
  readonly atLeast: number;
  /** Goes on with the snapshot of this position, which has this many bytes and checksum; 0 0 0: any. */
  readonly position: number;
  readonly totalBytes: number;
  readonly checksum: number;
  readonly offset: number;
}

export interface SnapshotChunk {
  readonly type: "snapshotChunk";
  readonly shard: number;
  readonly transfer: number;
  readonly position: number;
  readonly totalBytes: number;
  /** CRC-32 of the whole snapshot; each frame has one of its own besides. */
  readonly checksum: number;
  /** Where the log goes on: what the engine of the sender says of it (opaque). */
  readonly logStart: Uint8Array;
  readonly offset: number;
  readonly data: Uint8Array;
}

export interface SnapshotRefused {
  readonly type: "snapshotRefused";
  readonly shard: number;
  readonly transfer: number;
  /** `busy`: too many transfers; `unavailable`: no snapshot of that position, or the log no longer knows it. */
  readonly reason: "busy" | "unavailable";
}

/**
 * What the sender's replica holds: hashes of its state at positions that all replicas agree upon, and what it would
 * understand. Sent to all members once a second.
 */
export interface StateHashes {
  readonly type: "stateHash";
  readonly shard: number;
  /** Of the replica; what an earlier one said no longer counts. */
  readonly incarnation: number;
  /** The highest feature level of records that the sender understands; from 1. */
  readonly featureLevelMax: number;
  /** The newest last: positions ascend. */
  readonly hashes: readonly StateHash[];
}

export interface StateHash {
  /** The state is that behind the record at this position. */
  readonly position: number;
  /** 16 hexadecimal digits, lower case. */
  readonly hash: string;
}

/** The sender's state of the shard up to `upTo` stands in its synced store. Sent to all members once a second. */
export interface Stored {
  readonly type: "stored";
  readonly shard: number;
  readonly upTo: number;
}

/** An append to a log that a service keeps, for the leader of the cell to write together with those of all nodes. */
export interface ServiceAppend {
  readonly type: "serviceAppend";
  /** Tells the logs of a node apart: a checksum of the segment's parameters. */
  readonly log: number;
  /** Below 2^48, new for each append. */
  readonly request: number;
  /** At least one. */
  readonly records: readonly Uint8Array[];
}

export interface ServiceAppendReply {
  readonly type: "serviceAppendReply";
  readonly request: number;
  readonly outcome:
    | { readonly kind: "appended"; readonly first: number; readonly last: number }
    /** Surely not in the log; it is sealed. */
    | { readonly kind: "sealed" }
    /** Surely not in the log: the sender may write by itself. */
    | { readonly kind: "refused" }
    /** It may be in the log. */
    | { readonly kind: "unknown" };
}
