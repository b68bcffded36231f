/** Collects entries in one reused buffer and closes them into a frame, ready for one write. */
import { crc32 } from "node:zlib";
import { invariant } from "@quipu/core";
import {
  entryHeaderBytes,
  frameHeaderBytes,
  maskBody,
  paddedBytes,
  paddingByte,
  sectorBytes,
  writeFrameHeader,
} from "./format.ts";

const initialCapacityBytes = 64 * 1024;
const wordsPerSector = sectorBytes / 4;

export class FrameBuilder {
  #bytes!: Uint8Array;
  #view!: DataView;
  #words!: Int32Array;
  /** Bytes used, the room for the header included. */
  #length = frameHeaderBytes;

  constructor() {
    this.#use(new Uint8Array(initialCapacityBytes));
  }

  get empty(): boolean {
    return this.#length === frameHeaderBytes;
  }

  /** What the frame takes on disk as it stands. */
  get sizeBytes(): number {
    return paddedBytes(this.#length);
  }

  /** What the frame would take on disk with `entries` more, of `payloadBytes` together. */
  sizeBytesWith(entries: number, payloadBytes: number): number {
    return paddedBytes(this.#length + entries * entryHeaderBytes + payloadBytes);
  }

  add(kind: number, group: number, index: number, payload: Uint8Array): void {
    const at = this.#length;
    const end = at + entryHeaderBytes + payload.length;
    if (end > this.#bytes.length) this.#grow(end);
    const view = this.#view;
    view.setUint32(at, payload.length, true);
    view.setUint32(at + 4, kind, true);
    view.setUint32(at + 8, group, true);
    view.setUint32(at + 12, index >>> 0, true);
    view.setUint32(at + 16, Math.floor(index / 0x1_0000_0000), true);
    // Of the caller's bytes, before the copy: the copy is then covered from its first moment.
    view.setUint32(at + 20, crc32(payload), true);
    this.#bytes.set(payload, at + entryHeaderBytes);
    this.#length = end;
  }

  /** Completes the frame. The bytes stay valid until the next `reset`. */
  close(
    kind: number,
    number: number,
    previousChecksum: number,
    segment: { readonly salt: number; readonly sizeBytes: number },
  ): { readonly bytes: Uint8Array; readonly checksum: number } {
    const end = this.sizeBytes;
    this.#bytes.fill(paddingByte, this.#length, end);
    const mask = this.#maskNeeded(end);
    if (mask !== 0) maskBody(this.#view, frameHeaderBytes, end, mask);
    const checksum = writeFrameHeader(this.#bytes, this.#view, 0, {
      kind,
      lengthBytes: this.#length,
      number,
      previousChecksum,
      salt: segment.salt,
      segmentBytes: segment.sizeBytes,
      mask,
      bodyChecksum: crc32(this.#bytes.subarray(frameHeaderBytes, end)),
    });
    return { bytes: this.#bytes.subarray(0, end), checksum };
  }

  reset(): void {
    this.#length = frameHeaderBytes;
  }

  /**
   * 0 while every sector holds something non-zero, which one look per sector nearly always shows. Else a
   * word that no sector consists of alone: XORed over the body it leaves no sector all zero, because a
   * sector becomes zero only where every word equals the mask. There are 2^32 - 1 candidates and fewer
   * sectors, so there always is one. The first sector has the magic.
   */
  #maskNeeded(end: number): number {
    const words = this.#words;
    const endWord = end / 4;
    for (let from = wordsPerSector; from < endWord; from += wordsPerSector) {
      if (words[from] === 0 && uniform(words, from)) return this.#mask(endWord);
    }
    return 0;
  }

  #mask(endWord: number): number {
    const taken = new Set<number>();
    for (let from = wordsPerSector; from < endWord; from += wordsPerSector) {
      // Read as on disk (little-endian), since the mask is laid over little-endian words.
      if (uniform(this.#words, from)) taken.add(this.#view.getUint32(from * 4, true));
    }
    let mask = 1;
    while (taken.has(mask)) mask++;
    return mask;
  }

  #grow(needed: number): void {
    const bytes = new Uint8Array(Math.max(paddedBytes(needed), this.#bytes.length * 2));
    bytes.set(this.#bytes.subarray(0, this.#length));
    this.#use(bytes);
  }

  #use(bytes: Uint8Array): void {
    invariant(bytes.length % sectorBytes === 0, `buffer of ${bytes.length} bytes`);
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
    this.#words = new Int32Array(bytes.buffer);
  }
}

/** True if the sector at word `from` is one word repeated. */
function uniform(words: Int32Array, from: number): boolean {
  const first = words[from];
  for (let i = from + 1; i < from + wordsPerSector; i++) if (words[i] !== first) return false;
  return true;
}
