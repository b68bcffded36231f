/** Reads records back from the segment files: for readers that begin below the in-memory window. */
import { type Disk, DiskError, type DiskFile, invariant } from "@quipu/core";
import { entryKind, forEachEntry, openFrameBody, paddedBytes, readFrameHeader, sectorBytes } from "./format.ts";
import { corrupt, readFully, type Segment } from "./segment.ts";

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
  const start = segment.index.positionFor(group, from);
  invariant(start !== undefined, `record ${from} of group ${group} is not in ${segment.path}`);
  // What lies behind may be half written at this moment.
  const end = segment.endPosition;
  let file: DiskFile;
  try {
    file = await disk.open(segment.path, { create: "no" });
  } catch (error) {
    if (error instanceof DiskError && error.code === "ENOENT") return undefined;
    throw error;
  }
  try {
    let position = start;
    while (position < end) {
      const chunk = await readChunk(file, segment, position, end);
      const records = collect(chunk, group, from);
      if (records.length > 0) return records;
      position += chunk.length;
    }
  } finally {
    await file.close();
  }
  throw corrupt(segment.path, start, `record ${from} of group ${group} is not where it was written`);
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

function collect(chunk: Uint8Array, group: number, from: number): readonly Uint8Array[] {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
  const records: Uint8Array[] = [];
  for (let at = 0; at < chunk.length;) {
    const header = readFrameHeader(chunk, view, at);
    invariant(header !== undefined, `a frame was opened at ${at} and is gone`);
    const whole = forEachEntry(chunk, view, at, header.lengthBytes, true, (entry) => {
      if (entry.kind !== entryKind.record || entry.group !== group || entry.index < from) return;
      invariant(entry.index === from + records.length, `record ${entry.index} where ${from + records.length} is next`);
      records.push(entry.payload);
    });
    invariant(whole, "an entry fails its own checksum inside a frame that checks");
    at += paddedBytes(header.lengthBytes);
  }
  return records;
}
