/** A segment file of the log in memory, and small helpers on the disk port. */
import { type Disk, DiskError, type DiskFile, QuipuError } from "@quipu/core";
import { segmentName } from "./format.ts";
import type { SegmentIndex } from "./segment-index.ts";

export interface Segment {
  readonly number: number;
  readonly path: string;
  readonly sizeBytes: number;
  readonly salt: number;
  readonly index: SegmentIndex;
  /** Durable frames end here; grows only while the segment is the active one. */
  endPosition: number;
}

export function segmentPath(directory: string, number: number): string {
  return `${directory}/${segmentName(number)}`;
}

export function corrupt(path: string, offset: number, what: string): QuipuError {
  return new QuipuError("LOG_CORRUPT", `${path} at offset ${offset}: ${what}`);
}

/** True for the failures that more room would mend. */
export function isDiskFull(error: unknown): boolean {
  return error instanceof DiskError && (error.code === "ENOSPC" || error.code === "EDQUOT");
}

/** Writes all of `bytes` and syncs. A short write is continued; one that gets nowhere is an I/O error. */
export async function writeAllAndSync(
  file: DiskFile,
  path: string,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  let written = await file.writeAndSync(bytes, position);
  while (written < bytes.length) {
    const more = await file.writeAndSync(bytes.subarray(written), position + written);
    if (more === 0) throw new DiskError("EIO", path, "write any further to");
    written += more;
  }
}

/** Fills `into` from `position`; resolves to the bytes there were, fewer only at the end of the file. */
export async function readFully(file: DiskFile, into: Uint8Array, position: number): Promise<number> {
  let count = 0;
  while (count < into.length) {
    const more = await file.read(into.subarray(count), position + count);
    if (more === 0) break;
    count += more;
  }
  return count;
}

export async function ensureDirectory(disk: Disk, directory: string): Promise<void> {
  if (await disk.exists(directory)) return;
  await disk.makeDirectory(directory);
  await disk.syncDirectory(parentOf(directory));
}

/** The directory that holds `path`. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash > 0 ? path.slice(0, slash) : slash === 0 ? "/" : ".";
}
