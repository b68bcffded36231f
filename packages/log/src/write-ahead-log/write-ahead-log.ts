/**
 * The write-ahead log of a node: one writer, one fsync stream, shared by all groups.
 *
 * Group commit: whatever is queued while a frame is being synced becomes the next frame, in one write and
 * one sync. At most one frame is ever unsynced; recovery relies on it.
 */
import { type Disk, type DiskFile, invariant, QuipuError, type Random } from "@quipu/core";
import { FrameBuilder } from "./frame-builder.ts";
import { entryKind, frameKind } from "./format.ts";
import type { GroupWrite } from "./group-write.ts";
import type { GroupState, LogTables } from "./log-tables.ts";
import type { LogMutation } from "./mutation.ts";
import { writeMutated } from "./mutated-write.ts";
import {
  checkLimits,
  reserveBytes,
  type WriteAheadLogLimits,
  writeAheadLogLimits,
  type WriteAheadLogOptions,
} from "./options.ts";
import { recover, type Recovered } from "./recovery.ts";
import { ensureDirectory, type Segment, segmentPath, writeAllAndSync } from "./segment.ts";
import { SegmentIndex } from "./segment-index.ts";
import { makePreparer, type PreparedSegment, type SegmentPreparer } from "./segment-preparer.ts";
import { readGroups, readRecords } from "./segment-reader.ts";
import {
  addEntries,
  appendOf,
  type Completion,
  mayFree,
  type QueuedWrite,
  Refusal,
  removalOf,
  trimOf,
  WriteQueue,
} from "./write-queue.ts";

export type { Completion } from "./write-queue.ts";

const noPayload = new Uint8Array(0);
const noRecords: readonly Uint8Array[] = [];

export class WriteAheadLog {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #random: Random;
  readonly #limits: WriteAheadLogLimits;
  readonly #onFatal: (error: unknown) => void;
  readonly #mutation: LogMutation | undefined;
  readonly #onSegmentBegun: () => void;
  readonly #tables: LogTables;
  readonly #queue: WriteQueue;
  readonly #preparer: SegmentPreparer;
  #file: DiskFile;
  #frameNumber: number;
  #frameChecksum: number;
  /** Of the frame under way, and who waits for it. Swapped with the queue's: neither buffer is allocated again. */
  #writing: FrameBuilder = new FrameBuilder();
  #inFlight: readonly QueuedWrite[] = [];
  /** How many of #inFlight were told. */
  #published = 0;
  /** Refused for want of room, and told so once what is under way is durable. */
  #refusal: Refusal | undefined;
  #running: Promise<void> | undefined;
  #unlinking: Promise<void> = Promise.resolve();
  #state: "open" | "closing" | "failed" = "open";

  private constructor(
    options: WriteAheadLogOptions,
    limits: WriteAheadLogLimits,
    recovered: Recovered,
    preparer: SegmentPreparer,
    file: DiskFile,
  ) {
    this.#disk = options.disk;
    this.#directory = options.directory;
    this.#random = options.random;
    this.#onFatal = options.onFatal;
    this.#onSegmentBegun = options.onSegmentBegun ?? ((): void => undefined);
    this.#mutation = options.mutation;
    this.#limits = limits;
    this.#tables = recovered.tables;
    this.#queue = new WriteQueue(this.#tables, limits);
    this.#preparer = preparer;
    this.#file = file;
    this.#frameNumber = recovered.lastFrameNumber;
    this.#frameChecksum = recovered.lastFrameChecksum;
  }

  /**
   * Recovers what is in `directory` (made if absent) and makes ready to append. Rejects with `LOG_CORRUPT`
   * naming file and offset, with `DISK_FULL` where a fresh log finds no room, or with the disk's error.
   */
  static async open(options: WriteAheadLogOptions): Promise<WriteAheadLog> {
    const limits = { ...writeAheadLogLimits, ...options.limits };
    checkLimits(limits);
    const { disk, directory } = options;
    await ensureDirectory(disk, directory);
    const recovered = await recover(disk, directory, limits.frameBytesMax, options.mutation);
    const active = recovered.tables.segments.at(-1);
    const preparer = await makePreparer(options, limits, (active?.number ?? 0) + 1, recovered.unused);
    if (active === undefined) {
      const first = await preparer.take();
      if (first === undefined) throw diskFull(directory);
      const log = new WriteAheadLog(options, limits, recovered, preparer, first.file);
      await log.#begin(first);
      preparer.begin();
      return log;
    }
    const file = await disk.open(active.path, { create: "no" });
    if (recovered.tornBytes > 0) {
      // Else its sectors could mix with those of the next frame, were that torn too.
      await writeAllAndSync(file, active.path, new Uint8Array(recovered.tornBytes), active.endPosition);
    }
    preparer.begin();
    return new WriteAheadLog(options, limits, recovered, preparer, file);
  }

  /** Largest frame, and so largest write. */
  get frameBytesMax(): number {
    return this.#limits.frameBytesMax;
  }

  /** Groups that exist, ascending. */
  groups(): readonly number[] {
    return [...this.#tables.groups.keys()].sort((left, right) => left - right);
  }

  hardState(group: number): Uint8Array | undefined {
    return this.#tables.groups.get(group)?.hardState;
  }

  /** First index of `group` that was not trimmed. */
  firstIndex(group: number): number {
    return this.#tables.groups.get(group)?.firstIndex ?? 1;
  }

  /** One past the last durable record of `group`. */
  nextIndex(group: number): number {
    return this.#tables.groups.get(group)?.nextIndex ?? 1;
  }

  /** Bytes in all segments, used or not. */
  get sizeBytes(): number {
    return this.#tables.segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  }

  /** Groups whose untrimmed records keep the oldest segment: checkpoint and trim these to free space. */
  pinningGroups(): readonly number[] {
    const oldest = this.#tables.segments[0];
    return oldest === undefined || oldest === this.#active() ? [] : this.#tables.neededBy(oldest);
  }

  /** Bytes of all segments from the oldest that `group` needs on: what its slowness costs, were it the only one. */
  pinnedBytes(group: number): number {
    return this.#tables.pinnedBytes(group);
  }

  /**
   * Queues one atomic write: all of it becomes durable, or nothing. Its parts apply in the order of the fields of
   * {@link GroupWrite}, to the group as the writes queued before leave it. Throws a definite QuipuError where the
   * write is not taken: OVERLOADED, VALUE_TOO_LARGE, SHUTTING_DOWN; and DISK_FAILED.
   *
   * `done` is called exactly once, per group in queue order. With DISK_FAILED the outcome is unknown. With
   * DISK_FULL nothing was written, and the same holds for every write of the group queued behind it, for each
   * builds on it: their `done` get DISK_FULL in the same turn, before any later write's, and the group goes on
   * after its last durable write. (Only `trim` and `removeGroup` stand by themselves and may be kept.)
   */
  write(group: number, write: GroupWrite, done: Completion): void {
    const { hardState, restartAt, trimUpTo, truncateFrom, records } = write;
    invariant((hardState?.length ?? 0) <= this.#limits.hardStateBytesMax, `hard state of ${hardState?.length} bytes`);
    let firstIndex = restartAt ?? this.#queue.firstIndex(group);
    const nextIndex = restartAt ?? this.#queue.nextIndex(group);
    invariant(Number.isSafeInteger(nextIndex) && nextIndex >= 1, `group ${group} restarts at ${nextIndex}`);
    if (trimUpTo !== undefined) {
      invariant(trimUpTo < nextIndex, `group ${group}: trim to ${trimUpTo} past ${nextIndex - 1}`);
      firstIndex = Math.max(firstIndex, trimUpTo + 1);
    }
    const first = truncateFrom ?? nextIndex;
    invariant(
      first >= firstIndex && first <= nextIndex,
      `group ${group}: cut at ${first} of ${firstIndex}..${nextIndex}`,
    );
    this.#enqueue({
      group,
      independent: false,
      removes: false,
      hardState,
      restartAt,
      firstNeeded: trimUpTo === undefined ? undefined : trimUpTo + 1,
      truncateFrom: first === nextIndex ? undefined : first,
      first,
      records: records ?? noRecords,
      done,
    });
  }

  /** As `write` with records alone; returns the index of the first. */
  append(group: number, records: readonly Uint8Array[], done: Completion): number {
    invariant(records.length > 0, "an append of no records");
    const first = this.#queue.nextIndex(group);
    this.#enqueue(appendOf(group, first, records, done));
    return first;
  }

  /** As `write` with a hard state alone. */
  saveHardState(group: number, hardState: Uint8Array, done: Completion): void {
    this.write(group, { hardState }, done);
  }

  /**
   * Records of `group` up to `upTo` are no longer needed. Durable first, then the oldest segments that no
   * group needs are unlinked. With several groups the slowest pins: see `pinningGroups`.
   */
  trim(group: number, upTo: number, done: Completion): void {
    const next = Math.min(this.nextIndex(group), this.#queue.nextIndex(group));
    invariant(upTo < next, `trim of group ${group} to ${upTo} past ${next - 1}`);
    if (upTo < Math.min(this.firstIndex(group), this.#queue.firstIndex(group))) done(undefined);
    else this.#enqueue(trimOf(group, upTo + 1, done));
  }

  /** Forgets the group: its records, its hard state. */
  removeGroup(group: number, done: Completion): void {
    this.#enqueue(removalOf(group, done));
  }

  /**
   * Durable records of `group` from `from` on: at least one, a bounded number, and none that was overwritten.
   * Undefined: trimmed or overwritten, even if only just now. `from` is below `nextIndex`. A damaged file is
   * fatal, and the promise rejects.
   */
  async read(group: number, from: number): Promise<readonly Uint8Array[] | undefined> {
    invariant(from < this.nextIndex(group), `read of record ${from}, but ${this.nextIndex(group)} is next`);
    try {
      for (;;) {
        const state = this.#tables.groups.get(group);
        if (state === undefined || from < state.firstIndex || from >= state.nextIndex) return undefined;
        const { replacements } = state;
        const segment = this.#tables.segments.find((one) => (one.index.lastIndex(group) ?? 0) >= from);
        invariant(segment !== undefined, `record ${from} of group ${group} is in no segment`);
        const isReplaced = (): boolean =>
          state !== this.#tables.groups.get(group) || replacements !== state.replacements;
        try {
          const records = await readRecords(this.#disk, segment, group, from);
          if (!isReplaced()) return records;
        } catch (error) {
          // What is overwritten meanwhile is not found any more: no damage.
          if (!isReplaced()) throw error;
        }
      }
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }

  /**
   * Every record of `group` that was not trimmed, in order, in pieces: for an owner that keeps its log in memory,
   * at start, before it writes. The bytes are the callback's to keep. A damaged file is fatal, as in `read`.
   */
  readAll(group: number, onRecords: (first: number, records: readonly Uint8Array[]) => void): Promise<void> {
    return this.readGroups([group], (_group, first, records) => onRecords(first, records));
  }

  /** `readAll` of several groups in one pass over the files. */
  async readGroups(
    groups: readonly number[],
    onRecords: (group: number, first: number, records: readonly Uint8Array[]) => void,
  ): Promise<void> {
    for (const group of groups) invariant(!this.#queue.has(group), `group ${group} is being written to`);
    const ranges = new Map(
      groups.map((group) => [group, { from: this.firstIndex(group), to: this.nextIndex(group) }] as const),
    );
    try {
      await readGroups({
        disk: this.#disk,
        segments: [...this.#tables.segments],
        ranges,
        onRecords,
        mutation: this.#mutation,
      });
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }

  /**
   * Stops the log: nothing more is taken, whoever waits learns that the outcome is unknown, and `onFatal`
   * is called. Also for readers above that threw, whose state is broken.
   */
  fail(error: unknown): void {
    if (this.#state === "failed") return;
    this.#state = "failed";
    const waiters = [
      ...this.#inFlight.slice(this.#published),
      ...(this.#refusal?.writes ?? []),
      ...this.#queue.clear(),
    ];
    this.#inFlight = [];
    this.#refusal = undefined;
    this.#onFatal(error);
    const failure = new QuipuError("DISK_FAILED", `the write-ahead log failed: ${String(error)}`, { cause: error });
    for (const waiter of waiters) waiter.done(failure);
  }

  /** Ends what is queued, then closes the files. */
  async close(): Promise<void> {
    if (this.#state === "open") this.#state = "closing";
    await this.#running;
    await this.#unlinking;
    await this.#preparer.close();
    await this.#file.close();
  }

  #enqueue(write: QueuedWrite): void {
    if (this.#state === "failed") throw new QuipuError("DISK_FAILED", "the log failed and takes nothing more");
    if (this.#state !== "open") throw new QuipuError("SHUTTING_DOWN", "the log is closing");
    this.#queue.push(write);
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    // Whatever else the present turn appends joins the first frame.
    await Promise.resolve();
    try {
      while (!this.#queue.empty) await this.#commit();
    } catch (error) {
      this.fail(error);
    } finally {
      this.#running = undefined;
    }
  }

  async #commit(): Promise<void> {
    let begun = false;
    if (!this.#fits(this.#active())) {
      const next = await this.#preparer.take();
      if (next === undefined) {
        this.#refuse();
      } else {
        await this.#begin(next);
        this.#preparer.begin();
        begun = true;
      }
    }
    if (!this.#queue.empty) {
      const active = this.#active();
      const { frame, writes } = this.#queue.take(this.#writing);
      this.#writing = frame;
      this.#inFlight = writes;
      const position = active.endPosition;
      if (this.#mutation === "write-split-in-two-frames") await this.#writeSplit(frame, active);
      // A write may change nothing, and waits for its turn all the same.
      else if (!frame.empty) await this.#write(frame, frameKind.entries, active);
      this.#publish(active, position);
      frame.reset();
    }
    if (this.#refusal !== undefined) this.#tellRefused(this.#refusal);
    if (begun && this.#state === "open") this.#onSegmentBegun();
  }

  async #write(frame: FrameBuilder, kind: number, segment: Segment): Promise<void> {
    const { bytes, checksum } = frame.close(kind, this.#frameNumber + 1, this.#frameChecksum, segment);
    const { path, endPosition } = segment;
    if (this.#mutation === undefined) await writeAllAndSync(this.#file, path, bytes, endPosition);
    else await writeMutated(this.#mutation, this.#file, path, bytes, endPosition);
    segment.endPosition += bytes.length;
    this.#frameNumber++;
    this.#frameChecksum = checksum;
  }

  /** Tests only: the hard states follow in a frame of their own. */
  async #writeSplit(frame: FrameBuilder, segment: Segment): Promise<void> {
    for (const choice of ["all but hard state", "hard state"] as const) {
      frame.reset();
      for (const write of this.#inFlight) addEntries(frame, write, choice);
      if (!frame.empty) await this.#write(frame, frameKind.entries, segment);
    }
  }

  /** The frame at `position` became durable: tables first, then everyone who waits, in order. */
  #publish(segment: Segment, position: number): void {
    let freed = false;
    // One by one, so that whoever looks while a record is delivered sees a tail right behind it. A reader
    // that throws leaves the rest in #inFlight, to be failed.
    for (;;) {
      const write = this.#inFlight[this.#published];
      if (write === undefined) break;
      this.#published++;
      this.#apply(write, segment, position);
      this.#queue.settled(write);
      freed ||= mayFree(write);
      write.done(undefined);
    }
    this.#inFlight = [];
    this.#published = 0;
    if (freed) this.#unlinking = this.#unlinking.then(() => this.#unlinkUnneeded());
  }

  #apply(write: QueuedWrite, segment: Segment, position: number): void {
    const { group, first, records } = write;
    const tables = this.#tables;
    if (write.removes) tables.remove(group);
    if (write.hardState !== undefined) tables.saveHardState(group, write.hardState);
    if (write.restartAt !== undefined) tables.restart(group, write.restartAt);
    if (write.firstNeeded !== undefined) tables.trim(group, write.firstNeeded);
    if (write.truncateFrom !== undefined) tables.truncate(group, write.truncateFrom);
    if (records.length > 0) tables.append(group, first, first + records.length - 1, segment, position);
  }

  /** Makes a prepared segment the active one, with a head that says all a later start must know. */
  async #begin(next: PreparedSegment): Promise<void> {
    const head = this.#writing;
    invariant(head.empty, "a head while a frame is under way");
    for (const [group, state] of this.#tables.groups) addToHead(head, group, state);
    const segment: Segment = {
      number: next.number,
      path: next.path,
      sizeBytes: next.sizeBytes,
      salt: this.#random.uint32(),
      index: new SegmentIndex(),
      endPosition: 0,
    };
    if (this.#file !== next.file) await this.#file.close();
    this.#file = next.file;
    await this.#write(head, frameKind.head, segment);
    head.reset();
    this.#tables.segments.push(segment);
  }

  #active(): Segment {
    const active = this.#tables.segments.at(-1);
    invariant(active !== undefined, "an open log has an active segment");
    return active;
  }

  #fits(active: Segment): boolean {
    const reserve = this.#queue.hasRecords ? reserveBytes(active.sizeBytes) : 0;
    return this.#queue.sizeBytes <= active.sizeBytes - active.endPosition - reserve;
  }

  /**
   * The disk is full and nothing of the next frame was written: a definite refusal. Writes without records
   * stay if the reserve holds them, because trims are what makes room.
   */
  #refuse(): void {
    const refusal = new Refusal();
    const all = this.#queue.writes;
    this.#queue.refuse(refusal, (write) => write.records.length > 0);
    if (!this.#fits(this.#active())) {
      this.#queue.refuse(refusal, () => true);
      refusal.writes = [...all];
    }
    this.#refusal = refusal;
  }

  /** What stayed is durable. Whatever was queued since builds, perhaps, on what was refused. */
  #tellRefused(refusal: Refusal): void {
    this.#queue.refuse(refusal, () => false);
    this.#queue.forget(refusal);
    const error = diskFull(this.#directory);
    while (this.#refusal === refusal) {
      const write = refusal.writes.shift();
      if (write === undefined) this.#refusal = undefined;
      else write.done(error);
    }
  }

  async #unlinkUnneeded(): Promise<void> {
    try {
      for (;;) {
        const { segments } = this.#tables;
        const oldest = segments[0];
        if (oldest === undefined || segments.length === 1) return;
        if (this.#tables.neededBy(oldest).length > 0) return;
        segments.shift();
        await this.#disk.remove(segmentPath(this.#directory, oldest.number));
        // One by one: were two names removed and the younger one alone stayed gone, a gap would remain.
        await this.#disk.syncDirectory(this.#directory);
        this.#preparer.roomWasMade();
      }
    } catch (error) {
      this.fail(error);
    }
  }
}

function addToHead(head: FrameBuilder, group: number, state: GroupState): void {
  head.add(entryKind.firstIndex, group, state.firstIndex, noPayload);
  head.add(entryKind.nextIndex, group, state.nextIndex, noPayload);
  if (state.hardState !== undefined) head.add(entryKind.hardState, group, 0, state.hardState);
}

function diskFull(directory: string): QuipuError {
  return new QuipuError(
    "DISK_FULL",
    `the disk is full: no room for another log segment in ${directory}/; reads go on. Free space`,
  );
}
