/**
 * Reads the segments at start: rebuilds the tables, finds the end, and tells a torn tail from corruption.
 *
 * At most one frame is ever unsynced, sectors are zero before they are written, and a written sector is
 * never all zero. So the last frame is torn exactly if a whole sector of it is still zero and no frame
 * follows; whatever else does not check was once acknowledged, perhaps, and start is refused (P8).
 */
import type { Disk } from "@quipu/core";
import {
  type Entry,
  entryKind,
  forEachEntry,
  type FrameHeader,
  frameKind,
  openFrameBody,
  paddedBytes,
  readFrameHeader,
  sectorBytes,
  segmentNumber,
} from "./format.ts";
import { type GroupState, LogTables } from "./log-tables.ts";
import type { LogMutation } from "./mutation.ts";
import { corrupt, readFully, type Segment, segmentPath } from "./segment.ts";
import { SegmentIndex } from "./segment-index.ts";

export interface Recovered {
  /** Without segments: a fresh log. */
  readonly tables: LogTables;
  /** The segment that was prepared and not begun. */
  readonly unused: UnusedSegment | undefined;
  readonly lastFrameNumber: number;
  readonly lastFrameChecksum: number;
  /** Bytes of a torn frame in the active segment, to be zeroed before the next commit. */
  readonly tornBytes: number;
}

export interface UnusedSegment {
  readonly number: number;
  readonly sizeBytes: number;
  /** All zero; else it holds fragments of a head that never became durable, and cannot be used. */
  readonly zero: boolean;
}

/** Where the frames of a segment end, and what is behind. */
interface SegmentEnd {
  readonly position: number;
  /** From `position`: fragments of a frame that never became durable. */
  readonly tornBytes: number;
}

class Recovery {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #frameBytesMax: number;
  readonly #mutation: LogMutation | undefined;
  readonly #tables: LogTables = new LogTables();
  readonly #segments: Segment[] = this.#tables.segments;
  /** For each group of the oldest head: live records below this index were in segments that are gone. */
  readonly #goneBelow: Map<number, number> = new Map();
  #lastNumber = 0;
  #lastChecksum = 0;
  #tornBytes = 0;
  #unusedIsZero = true;
  #buffer: ArrayBuffer = new ArrayBuffer(0);

  constructor(disk: Disk, directory: string, frameBytesMax: number, mutation: LogMutation | undefined) {
    this.#mutation = mutation;
    this.#disk = disk;
    this.#directory = directory;
    this.#frameBytesMax = frameBytesMax;
  }

  async run(): Promise<Recovered> {
    const numbers = await this.#segmentNumbers();
    let unused: UnusedSegment | undefined;
    for (const number of numbers) {
      const path = segmentPath(this.#directory, number);
      if (unused !== undefined) {
        throw corrupt(segmentPath(this.#directory, unused.number), 0, "no frame here, but a further segment exists");
      }
      const bytes = await this.#load(path);
      const segment = this.#scan(number, path, bytes);
      if (segment.endPosition === 0) unused = { number, sizeBytes: bytes.length, zero: this.#unusedIsZero };
    }
    this.#checkNothingMissing();
    return {
      tables: this.#tables,
      unused,
      lastFrameNumber: this.#lastNumber,
      lastFrameChecksum: this.#lastChecksum,
      tornBytes: this.#tornBytes,
    };
  }

  async #segmentNumbers(): Promise<readonly number[]> {
    const names = await this.#disk.list(this.#directory);
    const numbers = names.map(segmentNumber).filter((number) => number !== undefined);
    numbers.forEach((number, i) => {
      const expected = (numbers[0] ?? 0) + i;
      if (number !== expected) throw corrupt(segmentPath(this.#directory, expected), 0, "the segment is missing");
    });
    return numbers;
  }

  async #load(path: string): Promise<Uint8Array> {
    const file = await this.#disk.open(path, { create: "no" });
    try {
      const size = await file.size();
      if (this.#buffer.byteLength < size) this.#buffer = new ArrayBuffer(paddedBytes(size));
      const bytes = new Uint8Array(this.#buffer, 0, size);
      const count = await readFully(file, bytes, 0);
      if (count !== size || size === 0 || size % sectorBytes !== 0) {
        throw corrupt(path, count, `the file ends here, in mid-segment`);
      }
      return bytes;
    } finally {
      await file.close();
    }
  }

  /** Takes in the frames of one segment. One that ends at 0 was never begun. */
  #scan(number: number, path: string, bytes: Uint8Array): Segment {
    const view = new DataView(bytes.buffer, 0, bytes.length);
    const oldest = this.#segments.length === 0;
    const head = readFrameHeader(bytes, view, 0);
    if (head !== undefined) this.#checkHead(head, number, path, bytes.length);
    const segment: Segment = {
      number,
      path,
      sizeBytes: bytes.length,
      salt: head?.salt ?? 0,
      index: new SegmentIndex(),
      endPosition: 0,
    };
    // Before its frames: what replaces records reaches into the very segment that says so.
    this.#segments.push(segment);
    const end = this.#scanFrames(segment, bytes, view, oldest);
    segment.endPosition = end.position;
    if (end.position === 0) {
      this.#segments.pop();
      if (oldest && number > 1) throw corrupt(path, 0, "the oldest segment has no head");
      if (end.tornBytes > 0) this.#checkNotTornBefore();
      this.#unusedIsZero = end.tornBytes === 0;
    } else {
      this.#tornBytes = end.tornBytes;
    }
    return segment;
  }

  #checkHead(head: FrameHeader, number: number, path: string, sizeBytes: number): void {
    if (head.segmentBytes !== sizeBytes) {
      throw corrupt(path, sizeBytes, `the file ends here and should have ${head.segmentBytes} bytes`);
    }
    const before = this.#segments.at(-1);
    if (before !== undefined) {
      this.#checkNotTornBefore();
      if (head.number > this.#lastNumber + 1) {
        throw corrupt(
          before.path,
          before.endPosition,
          `frames ${this.#lastNumber + 1} to ${head.number - 1} are missing`,
        );
      }
    } else if (number > 1) {
      // What came before was trimmed: the oldest head is where the chain begins.
      this.#lastNumber = head.number - 1;
      this.#lastChecksum = head.previousChecksum;
    }
  }

  /** A segment is only begun when everything before it is durable. */
  #checkNotTornBefore(): void {
    const before = this.#segments.at(-1);
    if (before === undefined || this.#tornBytes === 0) return;
    throw corrupt(before.path, before.endPosition, "an incomplete frame, but a further segment was begun");
  }

  #scanFrames(segment: Segment, bytes: Uint8Array, view: DataView, oldest: boolean): SegmentEnd {
    let position = 0;
    while (position < bytes.length) {
      const header = readFrameHeader(bytes, view, position);
      if (header === undefined) return this.#endAt(segment, bytes, view, position);
      if (header.number !== this.#lastNumber + 1 || header.previousChecksum !== this.#lastChecksum) {
        throw corrupt(segment.path, position, `frame ${header.number} does not follow frame ${this.#lastNumber}`);
      }
      const kind = position === 0 ? frameKind.head : frameKind.entries;
      if (header.salt !== segment.salt || header.kind !== kind) {
        throw corrupt(segment.path, position, `frame ${header.number} belongs elsewhere`);
      }
      if (!openFrameBody(bytes, view, position, header)) {
        return this.#tornOrCorrupt(segment, bytes, view, position, header.lengthBytes);
      }
      const frameAt = position;
      const head = header.kind === frameKind.head ? new LogTables() : undefined;
      const whole = forEachEntry(bytes, view, position, header.lengthBytes, false, (entry) => {
        if (head !== undefined) takeHeadEntry(head, entry);
        else this.#take(segment, frameAt, entry);
      });
      if (head !== undefined) this.#takeHead(segment, head, oldest);
      if (!whole) throw corrupt(segment.path, position, `frame ${header.number} holds an entry that is cut`);
      this.#lastNumber = header.number;
      this.#lastChecksum = header.checksum;
      position += paddedBytes(header.lengthBytes);
    }
    return { position, tornBytes: 0 };
  }

  /** No frame begins at `position`: the end of the log, a torn frame without its first sector, or damage. */
  #endAt(segment: Segment, bytes: Uint8Array, view: DataView, position: number): SegmentEnd {
    const words = new Int32Array(bytes.buffer, 0, bytes.length / 4);
    if (!sectorIsZero(words, position)) throw corrupt(segment.path, position, "not a frame, and not zero");
    this.#refuseFollower(segment, bytes, view, position);
    let last = words.length - 1;
    const from = position / 4;
    while (last >= from && words[last] === 0) last--;
    const tornBytes = last < from ? 0 : paddedBytes((last + 1) * 4 - position);
    if (tornBytes > this.#frameBytesMax) {
      throw corrupt(segment.path, position, `zero, but ${tornBytes} bytes follow, more than one frame has`);
    }
    return { position, tornBytes };
  }

  /** A good header over a body that does not check. */
  #tornOrCorrupt(
    segment: Segment,
    bytes: Uint8Array,
    view: DataView,
    position: number,
    lengthBytes: number,
  ): SegmentEnd {
    const words = new Int32Array(bytes.buffer, 0, bytes.length / 4);
    const end = position + paddedBytes(lengthBytes);
    if (end > bytes.length) throw corrupt(segment.path, position, "the frame is longer than the segment");
    if (this.#mutation === "torn-tail-rule-in-mid-file") return { position, tornBytes: end - position };
    let torn = false;
    for (let at = position; at < end && !torn; at += sectorBytes) torn = sectorIsZero(words, at);
    if (!torn) throw corrupt(segment.path, position, "the frame's checksum does not match");
    this.#refuseFollower(segment, bytes, view, position);
    return { position, tornBytes: end - position };
  }

  /** A frame was only begun when all before it were durable, so a header further on proves damage here. */
  #refuseFollower(segment: Segment, bytes: Uint8Array, view: DataView, position: number): void {
    for (let at = position + sectorBytes; at < bytes.length; at += sectorBytes) {
      const header = readFrameHeader(bytes, view, at);
      if (header === undefined || header.number <= this.#lastNumber) continue;
      if (position > 0 && header.salt !== segment.salt) continue;
      throw corrupt(segment.path, position, `damaged or lost, because frame ${header.number} follows at ${at}`);
    }
  }

  /** The oldest one is where the groups begin; a later one must say what the frames before it said. */
  #takeHead(segment: Segment, head: LogTables, oldest: boolean): void {
    const { groups } = this.#tables;
    if (oldest) {
      for (const [group, state] of head.groups) {
        groups.set(group, state);
        this.#goneBelow.set(group, state.nextIndex);
      }
      return;
    }
    for (const group of new Set([...groups.keys(), ...head.groups.keys()])) {
      const told = head.groups.get(group);
      const found = groups.get(group);
      if (told === undefined || found === undefined || !sameState(told, found)) {
        throw corrupt(segment.path, 0, `group ${group} is not what the segments before make of it`);
      }
    }
  }

  #take(segment: Segment, frameAt: number, entry: Entry): void {
    const { group, index } = entry;
    switch (entry.kind) {
      case entryKind.record:
        this.#takeRecord(segment, frameAt, group, index);
        return;
      case entryKind.hardState:
        this.#tables.saveHardState(group, entry.payload);
        return;
      case entryKind.firstIndex:
        this.#takeTrim(segment, frameAt, group, index);
        return;
      case entryKind.groupRemoved:
        this.#tables.remove(group);
        this.#goneBelow.delete(group);
        return;
      case entryKind.truncate:
        this.#takeTruncation(segment, frameAt, group, index);
        return;
      case entryKind.restart:
        if (this.#mutation === "restart-keeps-old-records" && this.#forgetsToDrop(group, index)) return;
        this.#tables.restart(group, index);
        this.#goneBelow.delete(group);
        return;
      default:
        throw corrupt(segment.path, frameAt, `entry of the unknown kind ${entry.kind}`);
    }
  }

  #takeRecord(segment: Segment, frameAt: number, group: number, index: number): void {
    const { nextIndex } = this.#tables.ensure(group);
    if (index !== nextIndex) {
      if (index < nextIndex && forgetsReplacements(this.#mutation)) return;
      throw corrupt(segment.path, frameAt, `group ${group} goes on at ${index} where ${nextIndex} is next`);
    }
    this.#tables.append(group, index, index, segment, frameAt);
  }

  #takeTrim(segment: Segment, frameAt: number, group: number, index: number): void {
    const { nextIndex } = this.#tables.ensure(group);
    if (index > nextIndex) {
      throw corrupt(segment.path, frameAt, `group ${group} is trimmed to ${index} where ${nextIndex} is next`);
    }
    this.#tables.trim(group, index);
  }

  #takeTruncation(segment: Segment, frameAt: number, group: number, from: number): void {
    const { firstIndex, nextIndex } = this.#tables.ensure(group);
    if (this.#mutation === "truncation-forgotten-at-recovery") return;
    if (from < firstIndex || from > nextIndex) {
      throw corrupt(segment.path, frameAt, `group ${group} is cut at ${from}, not in ${firstIndex} to ${nextIndex}`);
    }
    this.#tables.truncate(group, from);
    // What takes the place of those records lies in segments that are there.
    this.#goneBelow.set(group, Math.min(this.#goneBelow.get(group) ?? 0, from));
  }

  /** Tests only: a restart within the old log is taken for a trim. */
  #forgetsToDrop(group: number, index: number): boolean {
    const state = this.#tables.ensure(group);
    if (index < state.firstIndex || index >= state.nextIndex) return false;
    state.firstIndex = index;
    return true;
  }

  /** Every record from a group's first index on must lie in a segment that is there. */
  #checkNothingMissing(): void {
    const oldest = this.#segments[0];
    for (const [group, goneBelow] of this.#goneBelow) {
      const firstIndex = this.#tables.ensure(group).firstIndex;
      if (oldest === undefined || firstIndex >= goneBelow) continue;
      const missing = segmentPath(this.#directory, oldest.number - 1);
      throw corrupt(missing, 0, `missing with records ${firstIndex} to ${goneBelow - 1} of group ${group}`);
    }
  }
}

function takeHeadEntry(head: LogTables, { kind, group, index, payload }: Entry): void {
  const state = head.ensure(group);
  if (kind === entryKind.firstIndex) state.firstIndex = index;
  else if (kind === entryKind.nextIndex) state.nextIndex = index;
  else if (kind === entryKind.hardState) head.saveHardState(group, payload);
}

function sameState(left: GroupState, right: GroupState): boolean {
  if (left.firstIndex !== right.firstIndex || left.nextIndex !== right.nextIndex) return false;
  const [one, two] = [left.hardState, right.hardState];
  if (one === undefined || two === undefined) return one === two;
  return one.length === two.length && one.every((byte, i) => byte === two[i]);
}

/** Tests only: replaced records are still there, so what replaces them seems to be there already. */
function forgetsReplacements(mutation: LogMutation | undefined): boolean {
  return mutation === "truncation-forgotten-at-recovery" || mutation === "restart-keeps-old-records";
}

function sectorIsZero(words: Int32Array, position: number): boolean {
  const from = position / 4;
  for (let i = from; i < from + sectorBytes / 4; i++) if (words[i] !== 0) return false;
  return true;
}

/** Reads the log in `directory`. Rejects with LOG_CORRUPT where it holds what no crash can leave. */
export function recover(
  disk: Disk,
  directory: string,
  frameBytesMax: number,
  mutation?: LogMutation,
): Promise<Recovered> {
  return new Recovery(disk, directory, frameBytesMax, mutation).run();
}
