/** Reads records back from the segment files: for readers below the in-memory window, and for owners at start. */
import { type Disk, DiskError, type DiskFile, invariant } from "@quipu/core";
import { openFrameBody, paddedBytes, readFrameHeader, sectorBytes } from "./format.ts";
import type { LogMutation } from "./mutation.ts";
import { RecordCollector } from "./record-collector.ts";
import { corrupt, readFully, type Segment } from "./segment.ts";
import { positionFor } from "./segment-index.ts";

/** One read from disk; a larger frame is read by itself. */
const readChunkBytes = 256 * 1024;

/**
 * Records of `group` from `from` on, at least one, as many as one chunk holds. They lie in fresh memory.
 * Undefined: the segment was unlinked meanwhile. Rejects with LOG_CORRUPT where a frame no longer checks.
 */
export async function readRecords(
  disk: Disk,
  segment: Segment,
  group: number,
  from: number,
): Promise<readonly Uint8Array[] | undefined> {
  const run = segment.index.runWith(group, from);
  invariant(run !== undefined, `record ${from} of group ${group} is not in ${segment.path}`);
  const start = positionFor(run, from);
  // What lies behind may be half written at this moment.
  const end = segment.endPosition;
  const found: Uint8Array[] = [];
  // One by one: a frame may hold more records than a call takes arguments.
  const collector = new RecordCollector(new Map([[group, from]]), (_group, _first, records) => {
    for (const record of records) found.push(record);
  });
  const file = await openIfThere(disk, segment.path);
  if (file === undefined) return undefined;
  try {
    let position = start;
    while (position < end) {
      const chunk = await readChunk(file, segment, position, end);
      collector.scan(segment, chunk, position);
      if (found.length > 0) return found;
      position += chunk.length;
    }
  } finally {
    await file.close();
  }
  throw corrupt(segment.path, start, `record ${from} of group ${group} is not where it was written`);
}

/** What {@link readGroups} is asked for. */
export interface GroupsToRead {
  readonly disk: Disk;
  /** Oldest first. */
  readonly segments: readonly Segment[];
  /** The first index of each group, and the one past its last. */
  readonly ranges: ReadonlyMap<number, { readonly from: number; readonly to: number }>;
  /** Gets each group's records in index order, in pieces, in memory of their own. */
  readonly onRecords: (group: number, first: number, records: readonly Uint8Array[]) => void;
  readonly mutation: LogMutation | undefined;
}

/** Reads several groups in one pass. Nothing may be written to these groups, or trimmed, meanwhile. */
export async function readGroups({ disk, segments, ranges, onRecords, mutation }: GroupsToRead): Promise<void> {
  const from = new Map([...ranges].map(([group, range]) => [group, range.from]));
  // Copies, because the owner keeps them: else one small record would keep a whole chunk of others' alive.
  const copyOut = (group: number, first: number, records: readonly Uint8Array[]): void =>
    onRecords(
      group,
      first,
      records.map((record) => record.slice()),
    );
  const collector = new RecordCollector(from, copyOut, mutation);
  for (const segment of segments) await scanSegment(disk, segment, from, collector);
  for (const [group, { to }] of ranges) {
    const next = collector.next(group);
    if (next !== to) throw corrupt(segments[0]?.path ?? "", 0, `group ${group}: record ${next} is nowhere`);
  }
}

/** From the first frame to the last one in which one of the groups may have a live record. */
async function scanSegment(
  disk: Disk,
  segment: Segment,
  from: ReadonlyMap<number, number>,
  collector: RecordCollector,
): Promise<void> {
  let position = Infinity;
  const lasts = new Map<number, number>();
  for (const [group, index] of from) {
    const run = segment.index.runsFrom(group, index)[0];
    if (run === undefined) continue;
    position = Math.min(position, positionFor(run, Math.max(index, run.firstIndex)));
    lasts.set(group, segment.index.lastIndex(group) ?? 0);
  }
  if (lasts.size === 0) return;
  const file = await disk.open(segment.path, { create: "no" });
  try {
    const end = segment.endPosition;
    const more = (): boolean => [...lasts].some(([group, last]) => (collector.next(group) ?? 0) <= last);
    while (position < end && more()) {
      const chunk = await readChunk(file, segment, position, end);
      collector.scan(segment, chunk, position);
      position += chunk.length;
    }
  } finally {
    await file.close();
  }
}

async function openIfThere(disk: Disk, path: string): Promise<DiskFile | undefined> {
  try {
    return await disk.open(path, { create: "no" });
  } catch (error) {
    if (error instanceof DiskError && error.code === "ENOENT") return undefined;
    throw error;
  }
}
/** Whole frames from `position` on, checked and opened. */
async function readChunk(file: DiskFile, segment: Segment, position: number, end: number): Promise<Uint8Array> {
  let bytes = new Uint8Array(Math.min(readChunkBytes, end - position));
  await readFully(file, bytes, position);
  let whole = openFrames(bytes, segment, position);
  if (whole === 0) {
    const header = readFrameHeader(bytes, new DataView(bytes.buffer), 0);
    const needed = header === undefined ? 0 : paddedBytes(header.lengthBytes);
    if (needed > bytes.length && needed <= end - position) {
      bytes = new Uint8Array(needed);
      await readFully(file, bytes, position);
      whole = openFrames(bytes, segment, position);
    }
  }
  if (whole === 0) throw corrupt(segment.path, position, "the frame no longer checks");
  return bytes.subarray(0, whole);
}

/** Opens frame after frame; returns where the first one begins that the chunk cuts. */
function openFrames(bytes: Uint8Array, segment: Segment, filePosition: number): number {
  const view = new DataView(bytes.buffer);
  let at = 0;
  while (at + sectorBytes <= bytes.length) {
    const header = readFrameHeader(bytes, view, at);
    if (header !== undefined && at + paddedBytes(header.lengthBytes) > bytes.length) return at;
    if (header === undefined || header.salt !== segment.salt || !openFrameBody(bytes, view, at, header)) {
      throw corrupt(segment.path, filePosition + at, "the frame no longer checks");
    }
    at += paddedBytes(header.lengthBytes);
  }
  return at;
}
