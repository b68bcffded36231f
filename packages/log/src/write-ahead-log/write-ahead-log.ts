/**
 * The write-ahead log of a node: one writer, one fsync stream, shared by all groups.
 *
 * Group commit: whatever is queued while a frame is being synced becomes the next frame, in one write and
 * one sync. At most one frame is ever unsynced; recovery relies on it.
 */
import { type Disk, type DiskFile, invariant, QuipuError, type Random } from "@quipu/core";
import { FrameBuilder } from "./frame-builder.ts";
import { entryKind, frameKind } from "./format.ts";
import { type GroupState, type GroupTable, SegmentIndex } from "./group-table.ts";
import type { LogMutation } from "./mutation.ts";
import {
  checkLimits,
  reserveBytes,
  type WriteAheadLogLimits,
  writeAheadLogLimits,
  type WriteAheadLogOptions,
} from "./options.ts";
import { recover, type Recovered } from "./recovery.ts";
import { ensureDirectory, type Segment, segmentPath, writeAllAndSync } from "./segment.ts";
import { type PreparedSegment, SegmentPreparer } from "./segment-preparer.ts";
import { readRecords } from "./segment-reader.ts";

/** Called exactly once, in queue order: without an error, the entry is durable. */
export type Completion = (error: QuipuError | undefined) => void;

interface Waiter {
  readonly kind: number;
  readonly group: number;
  readonly index: number;
  readonly payloads: readonly Uint8Array[];
  readonly done: Completion;
}

const noPayload = new Uint8Array(0);

export class WriteAheadLog {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #random: Random;
  readonly #limits: WriteAheadLogLimits;
  readonly #onFatal: (error: unknown) => void;
  readonly #mutation: LogMutation | undefined;
  readonly #table: GroupTable;
  readonly #preparer: SegmentPreparer;
  /** Oldest first; the last one is the active one. */
  readonly #segments: Segment[];
  #file: DiskFile;
  #frameNumber: number;
  #frameChecksum: number;

  /** The next frame, and who waits for it. */
  #filling: FrameBuilder = new FrameBuilder();
  #waiting: Waiter[] = [];
  /** The frame under way; swapped with #filling, so that neither buffer is allocated again. */
  #writing: FrameBuilder = new FrameBuilder();
  #inFlight: Waiter[] = [];
  /** How many of #inFlight were told. */
  #published = 0;
  /** Next index of a group once everything queued is durable; absent: nothing is queued. */
  readonly #queuedNext: Map<number, number> = new Map();
  #running: Promise<void> | undefined;
  #unlinking: Promise<void> = Promise.resolve();
  #state: "open" | "closing" | "failed" = "open";

  private constructor(
    options: WriteAheadLogOptions,
    limits: WriteAheadLogLimits,
    recovered: Recovered,
    preparer: SegmentPreparer,
    file: DiskFile,
    segments: Segment[],
  ) {
    this.#disk = options.disk;
    this.#directory = options.directory;
    this.#random = options.random;
    this.#onFatal = options.onFatal;
    this.#mutation = options.mutation;
    this.#limits = limits;
    this.#table = recovered.table;
    this.#preparer = preparer;
    this.#file = file;
    this.#segments = segments;
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
    const preparer = await makePreparer(options, limits, recovered);
    const segments = [...recovered.segments];
    const active = segments.at(-1);
    if (active === undefined) {
      const first = await preparer.take();
      if (first === undefined) throw diskFull(directory);
      const log = new WriteAheadLog(options, limits, recovered, preparer, first.file, segments);
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
    return new WriteAheadLog(options, limits, recovered, preparer, file, segments);
  }

  /** Groups that exist, ascending. */
  groups(): readonly number[] {
    return [...this.#table.groups.keys()].sort((left, right) => left - right);
  }

  hardState(group: number): Uint8Array | undefined {
    return this.#table.groups.get(group)?.hardState;
  }

  /** First index of `group` that was not trimmed. */
  firstIndex(group: number): number {
    return this.#table.groups.get(group)?.firstIndex ?? 1;
  }

  /** One past the last durable record of `group`. */
  nextIndex(group: number): number {
    return this.#table.groups.get(group)?.nextIndex ?? 1;
  }

  /** Bytes in all segments, used or not. */
  get sizeBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  }

  /** Groups whose untrimmed records keep the oldest segment: checkpoint and trim these to free space. */
  pinningGroups(): readonly number[] {
    const oldest = this.#segments[0];
    if (oldest === undefined || this.#segments.length === 1) return [];
    return oldest.index.neededBy(this.#table.groups).toSorted((left, right) => left - right);
  }

  /**
   * Queues records behind everything queued before and returns the index of the first; the rest follow.
   * Throws a definite QuipuError where they are not taken: OVERLOADED, VALUE_TOO_LARGE, SHUTTING_DOWN.
   * `done` gets DISK_FULL (definite: nothing was written) or DISK_FAILED (unknown).
   */
  append(group: number, payloads: readonly Uint8Array[], done: Completion): number {
    invariant(payloads.length > 0, "an append of no records");
    const first = this.#queuedNext.get(group) ?? this.nextIndex(group);
    this.#enqueue({ kind: entryKind.record, group, index: first, payloads, done });
    this.#queuedNext.set(group, first + payloads.length);
    return first;
  }

  /** Queues a new hard state; otherwise as `append`. */
  saveHardState(group: number, state: Uint8Array, done: Completion): void {
    invariant(state.length <= this.#limits.hardStateBytesMax, `hard state of ${state.length} bytes`);
    const isNew = !this.#table.groups.has(group);
    invariant(!isNew || this.#table.groups.size < this.#limits.groupsMax, `more than ${this.#limits.groupsMax} groups`);
    this.#enqueue({ kind: entryKind.hardState, group, index: 0, payloads: [state], done });
  }

  /**
   * Records of `group` up to `upTo` are no longer needed. Durable first, then the oldest segments that no
   * group needs are unlinked. With several groups the slowest pins: see `pinningGroups`.
   */
  trim(group: number, upTo: number, done: Completion): void {
    invariant(upTo < this.nextIndex(group), `trim of group ${group} to ${upTo} past ${this.nextIndex(group) - 1}`);
    if (upTo < this.firstIndex(group)) {
      done(undefined);
      return;
    }
    this.#enqueue({ kind: entryKind.firstIndex, group, index: upTo + 1, payloads: [noPayload], done });
  }

  /** Forgets the group: its records, its hard state. */
  removeGroup(group: number, done: Completion): void {
    this.#enqueue({ kind: entryKind.groupRemoved, group, index: 0, payloads: [noPayload], done });
  }

  /**
   * Durable records of `group` from `from` on: at least one, a bounded number. Undefined: trimmed, even if
   * only just now. `from` is below `nextIndex`. A damaged file is fatal, and the promise rejects.
   */
  async read(group: number, from: number): Promise<readonly Uint8Array[] | undefined> {
    invariant(from < this.nextIndex(group), `read of record ${from}, but ${this.nextIndex(group)} is next`);
    if (from < this.firstIndex(group)) return undefined;
    const segment = this.#segments.find((one) => (one.index.lastIndex(group) ?? 0) >= from);
    invariant(segment !== undefined, `record ${from} of group ${group} is in no segment`);
    try {
      return await readRecords(this.#disk, segment, group, from);
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
    const waiters = [...this.#inFlight.slice(this.#published), ...this.#waiting];
    this.#inFlight = [];
    this.#waiting = [];
    this.#filling.reset();
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

  #enqueue(waiter: Waiter): void {
    if (this.#state === "failed") throw new QuipuError("DISK_FAILED", "the log failed and takes nothing more");
    if (this.#state !== "open") throw new QuipuError("SHUTTING_DOWN", "the log is closing");
    let payloadBytes = 0;
    for (const payload of waiter.payloads) payloadBytes += payload.length;
    if (this.#filling.sizeBytesWith(waiter.payloads.length, payloadBytes) > this.#limits.frameBytesMax) {
      if (!this.#filling.empty) throw new QuipuError("OVERLOADED", "the write-ahead log's queue is full");
      throw new QuipuError("VALUE_TOO_LARGE", `${payloadBytes} bytes do not fit one frame of the log`);
    }
    this.#fill(waiter);
    this.#running ??= this.#run();
  }

  #fill(waiter: Waiter): void {
    let index = waiter.index;
    for (const payload of waiter.payloads) this.#filling.add(waiter.kind, waiter.group, index++, payload);
    this.#waiting.push(waiter);
  }

  async #run(): Promise<void> {
    // Whatever else the present turn appends joins the first frame.
    await Promise.resolve();
    try {
      while (!this.#filling.empty) await this.#commit();
    } catch (error) {
      this.fail(error);
    } finally {
      this.#running = undefined;
    }
  }

  async #commit(): Promise<void> {
    let active = this.#active();
    if (!this.#fits(active)) {
      const next = await this.#preparer.take();
      if (next === undefined) {
        if (!this.#rejectRecords()) return;
      } else {
        await this.#begin(next);
        this.#preparer.begin();
      }
      active = this.#active();
    }
    const frame = this.#filling;
    this.#filling = this.#writing;
    this.#writing = frame;
    this.#inFlight = this.#waiting;
    this.#waiting = [];
    await this.#write(frame, frameKind.entries, active);
    this.#publish(active, active.endPosition);
    frame.reset();
  }

  async #write(frame: FrameBuilder, kind: number, segment: Segment): Promise<void> {
    const { bytes, checksum } = frame.close(kind, this.#frameNumber + 1, this.#frameChecksum, segment);
    if (this.#mutation === undefined) await writeAllAndSync(this.#file, segment.path, bytes, segment.endPosition);
    else await this.#writeMutated(segment, bytes);
    this.#frameNumber++;
    this.#frameChecksum = checksum;
  }

  /** Tests only: what goes wrong where the rules of a commit are broken. */
  async #writeMutated(segment: Segment, bytes: Uint8Array): Promise<void> {
    if (this.#mutation === "acknowledge-before-sync") {
      for (let at = 0; at < bytes.length;) at += await this.#file.write(bytes.subarray(at), segment.endPosition + at);
      return;
    }
    try {
      await writeAllAndSync(this.#file, segment.path, bytes, segment.endPosition);
    } catch (error) {
      if (this.#mutation !== "fsync-error-retried") throw error;
      await this.#file.sync();
    }
  }

  /** The frame under way became durable at `position`: tables first, then everyone who waits, in order. */
  #publish(segment: Segment, position: number): void {
    segment.endPosition = position + this.#writing.sizeBytes;
    let trimmed = false;
    // One by one, so that whoever looks while a record is delivered sees a tail right behind it. A reader
    // that throws leaves the rest in #inFlight, to be failed.
    for (;;) {
      const waiter = this.#inFlight[this.#published];
      if (waiter === undefined) break;
      this.#published++;
      this.#apply(waiter, segment, position);
      trimmed ||= waiter.kind === entryKind.firstIndex || waiter.kind === entryKind.groupRemoved;
      waiter.done(undefined);
    }
    this.#inFlight = [];
    this.#published = 0;
    if (trimmed) this.#unlinking = this.#unlinking.then(() => this.#unlinkUnneeded());
  }

  #apply(waiter: Waiter, segment: Segment, position: number): void {
    const { group, index } = waiter;
    switch (waiter.kind) {
      case entryKind.record: {
        const last = index + waiter.payloads.length - 1;
        const state = this.#table.ensure(group);
        invariant(state.nextIndex === index, `group ${group}: record ${index} where ${state.nextIndex} is next`);
        state.nextIndex = last + 1;
        segment.index.note(group, index, position);
        if (last > index) segment.index.note(group, last, position);
        if (this.#queuedNext.get(group) === last + 1) this.#queuedNext.delete(group);
        return;
      }
      case entryKind.hardState:
        this.#table.ensure(group).hardState = waiter.payloads[0]?.slice();
        return;
      case entryKind.firstIndex: {
        const state = this.#table.ensure(group);
        state.firstIndex = Math.max(state.firstIndex, index);
        return;
      }
      default:
        invariant(waiter.kind === entryKind.groupRemoved, `a waiter of kind ${waiter.kind}`);
        this.#table.groups.delete(group);
        this.#queuedNext.delete(group);
        for (const one of this.#segments) one.index.forget(group);
    }
  }

  /** Makes a prepared segment the active one, with a head that says all a later start must know. */
  async #begin(next: PreparedSegment): Promise<void> {
    const head = this.#writing;
    invariant(head.empty, "a head while a frame is under way");
    for (const [group, state] of this.#table.groups) addToHead(head, group, state);
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
    segment.endPosition = head.sizeBytes;
    head.reset();
    this.#segments.push(segment);
  }

  #active(): Segment {
    const active = this.#segments.at(-1);
    invariant(active !== undefined, "an open log has an active segment");
    return active;
  }

  #fits(active: Segment): boolean {
    const hasRecords = this.#waiting.some((waiter) => waiter.kind === entryKind.record);
    const room = active.sizeBytes - active.endPosition - (hasRecords ? reserveBytes : 0);
    return this.#filling.sizeBytes <= room;
  }

  /**
   * The disk is full and nothing of the next frame was written: a definite refusal. Entries without records
   * stay if the reserve holds them, because trims are what makes room. Returns whether any stayed.
   */
  #rejectRecords(): boolean {
    const refused: Waiter[] = [];
    let waiting = this.#waiting;
    const refill = (keeps: (waiter: Waiter) => boolean): void => {
      refused.push(...waiting.filter((waiter) => !keeps(waiter)));
      waiting = waiting.filter(keeps);
      this.#filling.reset();
      this.#waiting = [];
      for (const waiter of waiting) this.#fill(waiter);
    };
    refill((waiter) => waiter.kind !== entryKind.record);
    if (!this.#fits(this.#active())) refill(() => false);
    // Before anyone hears of it and appends again: indexes go on after the last durable record.
    this.#queuedNext.clear();
    const error = diskFull(this.#directory);
    for (const waiter of refused) waiter.done(error);
    return !this.#filling.empty;
  }

  async #unlinkUnneeded(): Promise<void> {
    try {
      for (;;) {
        const oldest = this.#segments[0];
        if (oldest === undefined || this.#segments.length === 1) return;
        if (oldest.index.neededBy(this.#table.groups).length > 0) return;
        this.#segments.shift();
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

/** Takes over the segment that was prepared before the restart, if it can be used as it is. */
async function makePreparer(
  options: WriteAheadLogOptions,
  limits: WriteAheadLogLimits,
  recovered: Recovered,
): Promise<SegmentPreparer> {
  const { disk, directory, clock, mutation } = options;
  const number = (recovered.segments.at(-1)?.number ?? 0) + 1;
  let ready: PreparedSegment | undefined;
  if (recovered.unused !== undefined) {
    const path = segmentPath(directory, number);
    const { sizeBytes, zero } = recovered.unused;
    if (zero && sizeBytes === limits.segmentBytes) {
      ready = { number, path, sizeBytes, file: await disk.open(path, { create: "no" }) };
    } else {
      await disk.remove(path);
      await disk.syncDirectory(directory);
    }
  }
  return new SegmentPreparer(disk, directory, limits.segmentBytes, clock, number, ready, mutation);
}
