/** What a write-ahead log is opened with: its ports, and its limits with their reasons. */
import { type Clock, type Disk, invariant, type Random } from "@quipu/core";
import { entryHeaderBytes, sectorBytes } from "./format.ts";
import type { LogMutation } from "./mutation.ts";

export interface WriteAheadLogLimits {
  /** Size of a segment file, filled with zeros ahead of use: two of them always exist. */
  readonly segmentBytes: number;
  /** Largest frame, which is also the bound of the queue: what waits is the next frame. */
  readonly frameBytesMax: number;
  /** Hard states are repeated in every segment's head. */
  readonly hardStateBytesMax: number;
  readonly groupsMax: number;
}

export const writeAheadLogLimits: WriteAheadLogLimits = {
  // Begun every 0.3 s at 100 MB/s; small enough that an empty node starts in a moment.
  segmentBytes: 32 * 1024 * 1024,
  // A disk that stalls for 50 ms at 100 MB/s has 5 MB waiting.
  frameBytesMax: 8 * 1024 * 1024,
  // Raft's holds term, vote, and the log's start with its configuration: a joint one of nine and nine members.
  hardStateBytesMax: 1024,
  groupsMax: 4096,
};

/**
 * Kept free at the end of a segment for writes that hold no record: on a full disk, trims make room, and votes are
 * cast. A sixty-fourth is some 300 of them with hard states of the largest size.
 */
export function reserveBytes(segmentBytes: number): number {
  return Math.max(16 * 1024, Math.floor(segmentBytes / 64 / sectorBytes) * sectorBytes);
}

export interface WriteAheadLogOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Pick<Clock, "monotonicMs">;
  /** For segment salts; seed it from the operating system, or a client could imitate frames. */
  readonly random: Random;
  readonly limits?: Partial<WriteAheadLogLimits>;
  /**
   * Called once when a write or sync failed, or a reader threw: what is on disk is no longer known, or
   * the state above is broken. Production ends the process; the next start reads what is there.
   */
  readonly onFatal: (error: unknown) => void;
  /**
   * Called after the first commit in a new segment: the time to look who pins the oldest ones (`pinningGroups`,
   * `pinnedBytes`) and to checkpoint, trim or rewrite.
   */
  readonly onSegmentBegun?: () => void;
  /** Tests only. */
  readonly mutation?: LogMutation;
}

/** A segment must hold its head, the largest frame and the reserve, or an append could never fit. */
export function checkLimits(limits: WriteAheadLogLimits): void {
  const headBytesMax = limits.groupsMax * (3 * entryHeaderBytes + limits.hardStateBytesMax) + 1024;
  const needed = headBytesMax + limits.frameBytesMax + reserveBytes(limits.segmentBytes);
  invariant(limits.segmentBytes % sectorBytes === 0, `segmentBytes ${limits.segmentBytes} is not whole sectors`);
  invariant(limits.segmentBytes >= needed, `segmentBytes ${limits.segmentBytes} < ${needed}`);
  invariant(headBytesMax <= limits.frameBytesMax, `a head may have ${headBytesMax} bytes, more than one frame`);
}
