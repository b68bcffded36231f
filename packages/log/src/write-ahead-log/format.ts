/**
 * The bytes of the write-ahead log: numbers, names and the frame header.
 * docs/decisions/0002-write-ahead-log-format.md draws it and says why.
 */
import { crc32 } from "node:zlib";

/** The unit that a disk writes whole or not at all. Frames begin and end on it. */
export const sectorBytes = 512;

/** First bytes of every frame: "QWF1". Non-zero, so a frame's first sector is never all zero. */
export const frameMagic = 0x31465751;

export const frameHeaderBytes = 48;

/** Fills the last sector. Non-zero, so that a last sector that holds only zero content is not all zero. */
export const paddingByte = 0xa5;

/** Entry header: length u32, kind u32, group u32, index u64, CRC-32 u32. */
export const entryHeaderBytes = 24;

/** What an entry says. Numbers are on disk: never reuse one. */
export const entryKind = {
  /** A record of `group` at `index`. */
  record: 1,
  /** The hard state of `group`, as opaque bytes; replaces the one before. */
  hardState: 2,
  /** `index` is the first one that `group` still needs. */
  firstIndex: 3,
  /** `group` is gone with everything it had. */
  groupRemoved: 4,
  /** In a head only: `index` is the next one of `group`. */
  nextIndex: 5,
  /** Records of `group` from `index` on are gone; those that follow take their place. */
  truncate: 6,
  /** Every record of `group` is gone; the next one is `index`, lower or higher than before. */
  restart: 7,
} as const;

/** What a frame is for. */
export const frameKind = {
  /** Opens a segment: the state of every group. */
  head: 1,
  entries: 2,
} as const;

export interface FrameHeader {
  readonly kind: number;
  /** Header and body without padding. */
  readonly lengthBytes: number;
  /** Counts frames over all segments, from 1. */
  readonly number: number;
  /** Checksum of the frame before, over the segment border too; 0 before the first. */
  readonly previousChecksum: number;
  /** Random per segment: a client's record that imitates a frame cannot know it. */
  readonly salt: number;
  /** XORed over every 32-bit word of the body; 0 unless a sector would have been all zero. */
  readonly mask: number;
  readonly bodyChecksum: number;
  /** Size of the segment's file: a shorter file has been cut. */
  readonly segmentBytes: number;
  /** CRC-32 of the header before it, thereby of the body too: the link of the chain. */
  readonly checksum: number;
}

const offsets = {
  magic: 0,
  lengthBytes: 4,
  numberLow: 8,
  numberHigh: 12,
  previousChecksum: 16,
  salt: 20,
  mask: 24,
  kind: 28,
  bodyChecksum: 32,
  segmentBytes: 36,
  // 40..43: reserved, zero, covered by the checksum.
  checksum: 44,
} as const;

/** Writes the header at `at`; returns its checksum. */
export function writeFrameHeader(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  header: Omit<FrameHeader, "checksum">,
): number {
  view.setUint32(at + offsets.magic, frameMagic, true);
  view.setUint32(at + offsets.lengthBytes, header.lengthBytes, true);
  view.setUint32(at + offsets.numberLow, header.number >>> 0, true);
  view.setUint32(at + offsets.numberHigh, Math.floor(header.number / 0x1_0000_0000), true);
  view.setUint32(at + offsets.previousChecksum, header.previousChecksum, true);
  view.setUint32(at + offsets.salt, header.salt, true);
  view.setUint32(at + offsets.mask, header.mask, true);
  view.setUint32(at + offsets.kind, header.kind, true);
  view.setUint32(at + offsets.bodyChecksum, header.bodyChecksum, true);
  view.setUint32(at + offsets.segmentBytes, header.segmentBytes, true);
  view.setUint32(at + 40, 0, true);
  const checksum = crc32(bytes.subarray(at, at + offsets.checksum));
  view.setUint32(at + offsets.checksum, checksum, true);
  return checksum;
}

/** The header at `at`, or undefined if the sector does not begin with one that checks. */
export function readFrameHeader(bytes: Uint8Array, view: DataView, at: number): FrameHeader | undefined {
  if (at + frameHeaderBytes > bytes.length || view.getUint32(at, true) !== frameMagic) return undefined;
  const checksum = view.getUint32(at + offsets.checksum, true);
  if (crc32(bytes.subarray(at, at + offsets.checksum)) !== checksum) return undefined;
  return {
    kind: view.getUint32(at + offsets.kind, true),
    lengthBytes: view.getUint32(at + offsets.lengthBytes, true),
    number:
      view.getUint32(at + offsets.numberLow, true) + view.getUint32(at + offsets.numberHigh, true) * 0x1_0000_0000,
    previousChecksum: view.getUint32(at + offsets.previousChecksum, true),
    salt: view.getUint32(at + offsets.salt, true),
    mask: view.getUint32(at + offsets.mask, true),
    bodyChecksum: view.getUint32(at + offsets.bodyChecksum, true),
    segmentBytes: view.getUint32(at + offsets.segmentBytes, true),
    checksum,
  };
}

/** Bytes on disk of a frame of `lengthBytes`. */
export function paddedBytes(lengthBytes: number): number {
  return Math.ceil(lengthBytes / sectorBytes) * sectorBytes;
}

/** Checks the body of `header` at `at` and takes its mask off. False: it does not check; nothing changed. */
export function openFrameBody(bytes: Uint8Array, view: DataView, at: number, header: FrameHeader): boolean {
  const end = at + paddedBytes(header.lengthBytes);
  if (header.lengthBytes < frameHeaderBytes || end > bytes.length) return false;
  if (crc32(bytes.subarray(at + frameHeaderBytes, end)) !== header.bodyChecksum) return false;
  if (header.mask !== 0) maskBody(view, at + frameHeaderBytes, end, header.mask);
  return true;
}

/** XORs `mask` over every word in [from, to); twice is nothing. */
export function maskBody(view: DataView, from: number, to: number, mask: number): void {
  for (let at = from; at < to; at += 4) view.setUint32(at, view.getUint32(at, true) ^ mask, true);
}

/** One entry as it lies in an opened frame. */
export interface Entry {
  readonly kind: number;
  readonly group: number;
  readonly index: number;
  /** Into the frame's bytes: copy what outlives them. */
  readonly payload: Uint8Array;
}

/**
 * Calls `onEntry` for every entry of an opened frame. Returns false where an entry does not fit the frame
 * or, with `checkEntries`, fails its own checksum; a frame that was opened never does so by accident.
 */
export function forEachEntry(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  lengthBytes: number,
  checkEntries: boolean,
  onEntry: (entry: Entry) => void,
): boolean {
  const end = at + lengthBytes;
  let position = at + frameHeaderBytes;
  while (position < end) {
    const payloadAt = position + entryHeaderBytes;
    if (payloadAt > end) return false;
    const length = view.getUint32(position, true);
    if (payloadAt + length > end) return false;
    const payload = bytes.subarray(payloadAt, payloadAt + length);
    if (checkEntries && crc32(payload) !== view.getUint32(position + 20, true)) return false;
    onEntry({
      kind: view.getUint32(position + 4, true),
      group: view.getUint32(position + 8, true),
      index: view.getUint32(position + 12, true) + view.getUint32(position + 16, true) * 0x1_0000_0000,
      payload,
    });
    position = payloadAt + length;
  }
  return true;
}

/** Segments are `wal-` and 12 digits; numbers go up by one and are never used again. */
export function segmentName(number: number): string {
  return `wal-${String(number).padStart(12, "0")}`;
}

export function segmentNumber(name: string): number | undefined {
  return /^wal-\d{12}$/.test(name) ? Number(name.slice(4)) : undefined;
}
