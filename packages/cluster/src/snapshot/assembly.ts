/** A snapshot as it comes in: which chunks of it are there. Chunks come in any order, and more than once. */
import { crc32 } from "node:zlib";
import type { SnapshotChunk } from "@quipu/protocol";
import type { SnapshotIdentity } from "./format.ts";

export class Assembly {
  readonly snapshot: SnapshotIdentity;
  readonly logStart: Uint8Array;
  /** Whole; what has not come yet is zeros. */
  readonly bytes: Uint8Array;
  /** Every chunk but the last has this many bytes, as the first one had. */
  readonly #chunkBytes: number;
  readonly #hasCome: Uint8Array;
  #missing: number;
  /** Every chunk before it has come. */
  #firstMissing = 0;
  /** Tests only: every chunk is taken for one that was missing. */
  readonly #isUnchecked: boolean;

  /** `first` is the chunk at offset 0; it still has to be added. */
  constructor(first: SnapshotChunk, isUnchecked: boolean) {
    this.snapshot = {
      position: first.position as SnapshotIdentity["position"],
      totalBytes: first.totalBytes,
      checksum: first.checksum,
    };
    this.logStart = first.logStart;
    this.bytes = new Uint8Array(first.totalBytes);
    this.#chunkBytes = first.data.length;
    this.#missing = Math.ceil(first.totalBytes / first.data.length);
    this.#hasCome = new Uint8Array(this.#missing);
    this.#isUnchecked = isUnchecked;
  }

  get isComplete(): boolean {
    return this.#missing <= 0;
  }

  get isSound(): boolean {
    return this.#isUnchecked || crc32(this.bytes) === this.snapshot.checksum;
  }

  /** True if the chunk was missing, and is one that we could have asked for. */
  add(offset: number, data: Uint8Array): boolean {
    const index = offset / this.#chunkBytes;
    const length = Math.min(this.#chunkBytes, this.bytes.length - offset);
    if ((data.length !== length || this.#hasCome[index] !== 0) && !this.#isUnchecked) return false;
    this.bytes.set(data.subarray(0, Math.max(length, 0)), Math.min(offset, this.bytes.length));
    this.#hasCome[index] = 1;
    this.#missing -= 1;
    return true;
  }

  /** Offsets of missing chunks that `isAsked` does not hold yet, in order, at most `count`. */
  missing(count: number, isAsked: (offset: number) => boolean): number[] {
    const offsets: number[] = [];
    while (this.#hasCome[this.#firstMissing] === 1) this.#firstMissing += 1;
    for (let index = this.#firstMissing; index < this.#hasCome.length && offsets.length < count; index++) {
      const offset = index * this.#chunkBytes;
      if (this.#hasCome[index] === 0 && !isAsked(offset)) offsets.push(offset);
    }
    return offsets;
  }
}
