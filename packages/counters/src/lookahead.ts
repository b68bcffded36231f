/**
 * Looks at the keys of the next runs of a record before they are applied, so that the memory they lie in is on its
 * way into the cache.
 *
 * On 100,000 random keys most of the time of an add is waiting: for the bucket, then for the entry, then for its key.
 * One after another these waits add up; asked for in three tight loops over many keys they overlap. Nothing here
 * changes or decides anything: a wrong guess costs only the looking.
 */
import { int64Narrow } from "@quipu/core";
import type { ByteTable } from "./byte-table.ts";
import { opcodeRun } from "./opcodes.ts";

/** Keys looked at in one go: more than a core can have cache misses under way, less than its first cache holds. */
const keysMax = 64;
/** Fewer are not worth the looking. */
const keysMin = 4;
/** Opcode, database, count, and the tag of the delta. */
const deltaOffset = 6;
/** Longer keys have a longer length field, and are rare. */
const keyBytesMax = 127;

export class Lookahead {
  /** Means nothing: see {@link ByteTable.touch}. */
  touched = 0;
  readonly #hashes = new Int32Array(keysMax);
  #count = 0;
  #next = 0;

  /** Of the key of the next command, if it was looked at: asked once per command, in order. */
  takeHash(): number | undefined {
    return this.#next < this.#count ? this.#hashes[this.#next++] : undefined;
  }

  /** `bytes[at, end)`: the commands still to apply. Returns how many of them need no other look (at least 1). */
  look(table: ByteTable, bytes: Uint8Array, at: number, end: number): number {
    const hashes = this.#hashes;
    let next = at;
    let count = 0;
    while (count < keysMax && next + deltaOffset < end && bytes[next] === opcodeRun) {
      const lengthAt = next + deltaOffset + (bytes[next + deltaOffset] === int64Narrow ? 5 : 9);
      const length = bytes[lengthAt] as number;
      const keyAt = lengthAt + 1;
      if (length > keyBytesMax || !(keyAt + length <= end)) break;
      hashes[count++] = table.hashOf(bytes[next + 1] as number, bytes, keyAt, keyAt + length);
      next = keyAt + length;
    }
    this.#count = count;
    this.#next = 0;
    if (count >= keysMin) this.touched ^= table.touch(hashes, count);
    return Math.max(count, 1);
  }
}
