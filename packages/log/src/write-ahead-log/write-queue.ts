/**
 * What waits for the next frame of the log, already laid out in it, and where each group's indexes will be once
 * everything queued is durable.
 */
import { invariant, QuipuError } from "@quipu/core";
import { entryKind } from "./format.ts";
import { FrameBuilder } from "./frame-builder.ts";
import type { LogTables } from "./log-tables.ts";
import type { WriteAheadLogLimits } from "./options.ts";

/** Called exactly once, in queue order: without an error, the write is durable. */
export type Completion = (error: QuipuError | undefined) => void;

/** One atomic write: a GroupWrite, or the group's removal. All of one shape: every commit passes here. */
export interface QueuedWrite {
  readonly group: number;
  /** A trim or a removal by itself: right whatever becomes of the writes before it. */
  readonly independent: boolean;
  readonly removes: boolean;
  readonly hardState: Uint8Array | undefined;
  readonly restartAt: number | undefined;
  /** First index that is still needed. */
  readonly firstNeeded: number | undefined;
  readonly truncateFrom: number | undefined;
  /** Index of records[0]. */
  readonly first: number;
  readonly records: readonly Uint8Array[];
  readonly done: Completion;
}

/** Which entries of a write go into a frame. Not "all" only under a mutation. */
export type EntryChoice = "all" | "hard state" | "all but hard state";

/** Writes that a full disk refuses, and the groups that must not go on as if they had been taken. */
export class Refusal {
  /** In queue order. */
  writes: QueuedWrite[] = [];
  readonly groups: Set<number> = new Set();
  /** Groups with a queued write that replaces records, refused or not. */
  readonly replacing: Set<number> = new Set();
}

/** Where a group will be once what is queued is durable. Kept when nothing is: a commit allocates little. */
interface QueuedState {
  firstIndex: number;
  nextIndex: number;
  /** Writes queued or under way. At 0 the rest is void, and the durable state holds. */
  writes: number;
}

const noPayload = new Uint8Array(0);
const noRecords: readonly Uint8Array[] = [];

export class WriteQueue {
  readonly #tables: LogTables;
  readonly #limits: WriteAheadLogLimits;
  readonly #states: Map<number, QueuedState> = new Map();
  #frame: FrameBuilder = new FrameBuilder();
  #waiting: QueuedWrite[] = [];

  constructor(tables: LogTables, limits: WriteAheadLogLimits) {
    this.#tables = tables;
    this.#limits = limits;
  }

  get empty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Bytes on disk of the frame as it stands. */
  get sizeBytes(): number {
    return this.#frame.sizeBytes;
  }

  get hasRecords(): boolean {
    return this.#waiting.some((write) => write.records.length > 0);
  }

  /** Of `group` once everything queued is durable. */
  nextIndex(group: number): number {
    const queued = this.#states.get(group);
    if (queued !== undefined && queued.writes > 0) return queued.nextIndex;
    return this.#tables.groups.get(group)?.nextIndex ?? 1;
  }

  /** As nextIndex. */
  firstIndex(group: number): number {
    const queued = this.#states.get(group);
    if (queued !== undefined && queued.writes > 0) return queued.firstIndex;
    return this.#tables.groups.get(group)?.firstIndex ?? 1;
  }

  /** True while a write of `group` is queued or under way. */
  has(group: number): boolean {
    return (this.#states.get(group)?.writes ?? 0) > 0;
  }

  get writes(): readonly QueuedWrite[] {
    return this.#waiting;
  }

  /** Throws, and nothing has changed, where there is no room: OVERLOADED, VALUE_TOO_LARGE. */
  push(write: QueuedWrite): void {
    if (!this.#states.has(write.group)) this.#checkGroups(write.group);
    this.#checkRoom(write);
    addEntries(this.#frame, write, "all");
    this.#waiting.push(write);
    this.#count(write);
  }

  /** Hands the frame and its writes over; `next`, an empty one, is filled from here on. */
  take(next: FrameBuilder): { readonly frame: FrameBuilder; readonly writes: QueuedWrite[] } {
    invariant(next.empty, "the next frame is not empty");
    const taken = { frame: this.#frame, writes: this.#waiting };
    this.#frame = next;
    this.#waiting = [];
    return taken;
  }

  /** `write` is durable, and the tables know. */
  settled(write: QueuedWrite): void {
    const queued = this.#states.get(write.group);
    invariant(queued !== undefined && queued.writes > 0, "a write is durable of a group that had nothing queued");
    queued.writes--;
    if (write.removes && queued.writes === 0) this.#states.delete(write.group);
  }

  /**
   * Takes out what `refuses` says, and whatever of the same groups builds on that: all behind it but trims of what
   * is durable, and removals. Until `forget` the indexes stay where the owners, not yet told, believe them to be.
   */
  refuse(refusal: Refusal, refuses: (write: QueuedWrite) => boolean): void {
    const kept: QueuedWrite[] = [];
    for (const write of this.#waiting) if (replaces(write)) refusal.replacing.add(write.group);
    for (const write of this.#waiting) {
      if (!refuses(write) && (!refusal.groups.has(write.group) || this.#isIndependent(write, refusal))) {
        kept.push(write);
        continue;
      }
      refusal.groups.add(write.group);
      refusal.writes.push(write);
    }
    this.#waiting = kept;
    this.#frame.reset();
    for (const write of kept) addEntries(this.#frame, write, "all");
  }

  /** The owners are being told: indexes go on after the last durable record. Nothing is under way now. */
  forget(refusal: Refusal): void {
    for (const group of refusal.groups) this.#states.delete(group);
    for (const write of this.#waiting) {
      if (refusal.groups.has(write.group)) this.#count(write);
    }
  }

  /** Moves its group's queued state on. */
  #count(write: QueuedWrite): void {
    let queued = this.#states.get(write.group);
    if (queued === undefined) {
      queued = { firstIndex: 1, nextIndex: 1, writes: 0 };
      this.#states.set(write.group, queued);
    }
    if (queued.writes === 0) {
      const durable = this.#tables.groups.get(write.group);
      queued.firstIndex = durable?.firstIndex ?? 1;
      queued.nextIndex = durable?.nextIndex ?? 1;
    }
    queued.writes++;
    advance(queued, write);
  }

  #isIndependent(write: QueuedWrite, refusal: Refusal): boolean {
    if (!write.independent || write.removes) return write.independent;
    // Of records that are durable and stay: not of those that a write before it was to put in their place.
    const durableNext = this.#tables.groups.get(write.group)?.nextIndex ?? 1;
    return !refusal.replacing.has(write.group) && (write.firstNeeded ?? 0) <= durableNext;
  }

  /** Takes out everything: the log failed. */
  clear(): readonly QueuedWrite[] {
    const writes = this.#waiting;
    this.#waiting = [];
    this.#frame.reset();
    this.#states.clear();
    return writes;
  }

  /** Every group has its lines in every head. */
  #checkGroups(group: number): void {
    const { groups } = this.#tables;
    if (groups.has(group)) return;
    let count = groups.size + 1;
    for (const [other, { writes }] of this.#states) if (writes > 0 && !groups.has(other)) count++;
    invariant(count <= this.#limits.groupsMax, `more than ${this.#limits.groupsMax} groups`);
  }

  #checkRoom(write: QueuedWrite): void {
    let payloadBytes = write.hardState?.length ?? 0;
    for (const record of write.records) payloadBytes += record.length;
    if (this.#frame.sizeBytesWith(entryCount(write), payloadBytes) <= this.#limits.frameBytesMax) return;
    if (!this.#frame.empty) throw new QuipuError("OVERLOADED", "the write-ahead log's queue is full");
    throw new QuipuError("VALUE_TOO_LARGE", `${payloadBytes} bytes do not fit one frame of the log`);
  }
}

/** Lays a write out, in the order in which it is applied. */
export function addEntries(frame: FrameBuilder, write: QueuedWrite, choice: EntryChoice): void {
  const { group } = write;
  if (write.hardState !== undefined && choice !== "all but hard state") {
    frame.add(entryKind.hardState, group, 0, write.hardState);
  }
  if (choice === "hard state") return;
  if (write.removes) frame.add(entryKind.groupRemoved, group, 0, noPayload);
  if (write.restartAt !== undefined) frame.add(entryKind.restart, group, write.restartAt, noPayload);
  if (write.firstNeeded !== undefined) frame.add(entryKind.firstIndex, group, write.firstNeeded, noPayload);
  if (write.truncateFrom !== undefined) frame.add(entryKind.truncate, group, write.truncateFrom, noPayload);
  let index = write.first;
  for (const record of write.records) frame.add(entryKind.record, group, index++, record);
}

function entryCount(write: QueuedWrite): number {
  let count = write.records.length;
  if (write.hardState !== undefined) count++;
  if (write.removes) count++;
  if (write.restartAt !== undefined) count++;
  if (write.firstNeeded !== undefined) count++;
  if (write.truncateFrom !== undefined) count++;
  return count;
}

/** A write that has no more than records. */
export function appendOf(group: number, first: number, records: readonly Uint8Array[], done: Completion): QueuedWrite {
  return {
    group,
    independent: false,
    removes: false,
    hardState: undefined,
    restartAt: undefined,
    firstNeeded: undefined,
    truncateFrom: undefined,
    first,
    records,
    done,
  };
}

/** A write that removes the group. */
export function removalOf(group: number, done: Completion): QueuedWrite {
  return { ...appendOf(group, 1, noRecords, done), independent: true, removes: true };
}

/** A write that has no more than a trim. */
export function trimOf(group: number, firstNeeded: number, done: Completion): QueuedWrite {
  return { ...appendOf(group, 1, noRecords, done), independent: true, firstNeeded };
}

/** What is queued of a group, with `write` behind it. */
function advance(state: QueuedState, write: QueuedWrite): void {
  if (write.removes) state.firstIndex = state.nextIndex = 1;
  if (write.restartAt !== undefined) state.firstIndex = state.nextIndex = write.restartAt;
  if (write.firstNeeded !== undefined) state.firstIndex = Math.max(state.firstIndex, write.firstNeeded);
  if (write.truncateFrom !== undefined) state.nextIndex = write.truncateFrom;
  if (write.records.length > 0) state.nextIndex = write.first + write.records.length;
}

function replaces(write: QueuedWrite): boolean {
  return write.restartAt !== undefined || write.truncateFrom !== undefined;
}

/** True if an older segment may hold nothing any more that is needed. */
export function mayFree(write: QueuedWrite): boolean {
  return write.removes || (write.firstNeeded ?? write.restartAt ?? write.truncateFrom) !== undefined;
}
