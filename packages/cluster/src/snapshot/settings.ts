/** Limits and patience of state snapshots (promise P9), each with its reason, and what both ends see of the network. */
import type { MemberId } from "@quipu/consensus";
import type { PeerMessage } from "@quipu/protocol";

export interface SnapshotSettings {
  /**
   * Largest snapshot made or taken. It is held in memory at both ends, and goes into the state store as one batch; a shard
   * that outgrows it has to be split. A node that fetches needs this much beside the state itself.
   */
  readonly snapshotBytesMax: number;
  /** Snapshots kept for others at once: the newest, and one whose transfer began before. */
  readonly snapshotsMax: number;
  /** All kept snapshots together. */
  readonly keptBytesMax: number;
  /** Members that are served at once; a further one is told "busy". */
  readonly transfersMax: number;
  /** A member that has asked nothing for so long has it, or has gone elsewhere. */
  readonly idleMs: number;
  /** Data of one chunk: some milliseconds of a slow network, far below what a peer frame may hold. */
  readonly chunkBytes: number;
  /** Chunks asked for and not yet come: what keeps a network of 10 ms round trips busy, and bounds what is sent at once. */
  readonly windowChunks: number;
  /** A chunk that has not come by then is asked for again. */
  readonly chunkTimeoutMs: number;
  /** A peer from which nothing came for so long is left for another. It may have to make the snapshot first. */
  readonly peerPatienceMs: number;
  /**
   * The log above a snapshot that is being fetched is kept, so that whoever fetches it can go on from there; up to this
   * many bytes of records. Else a transfer that takes longer than the pause between two checkpoints would never help.
   */
  readonly heldLogBytesMax: number;
  /** Entries put into or taken from a snapshot before other work gets its turn: about a millisecond. */
  readonly entriesPerSlice: number;
}

const mebibyte = 1024 * 1024;

export const defaultSnapshotSettings: SnapshotSettings = {
  snapshotBytesMax: 1024 * mebibyte,
  snapshotsMax: 2,
  keptBytesMax: 1536 * mebibyte,
  transfersMax: 8,
  idleMs: 30_000,
  chunkBytes: 256 * 1024,
  windowChunks: 8,
  chunkTimeoutMs: 1_000,
  peerPatienceMs: 5_000,
  // Half of what the raft engine keeps for a follower.
  heldLogBytesMax: 128 * mebibyte,
  entriesPerSlice: 2_000,
};

export type SnapshotMessageType = "snapshotRequest" | "snapshotChunk" | "snapshotRefused" | "stateHash" | "stored";

/** The part of the node's peer hub that snapshots travel through. */
export interface SnapshotLink {
  readonly member: MemberId;
  /** Other members that can be addressed at present. */
  peers(): readonly MemberId[];
  /** Best effort. */
  send(to: MemberId, message: PeerMessage): void;
  handle<Type extends SnapshotMessageType>(
    type: Type,
    handler: (from: MemberId, message: Extract<PeerMessage, { readonly type: Type }>) => void,
  ): void;
}
