/**
 * Bytes in and out: the growable writer and the checking reader that the codec, records and entries stand on.
 *
 * Every value has exactly one encoding and the reader refuses all others, so equal bytes mean equal values
 * (idempotency fingerprints hash encoded commands). Numbers are little-endian. No allocation but growth.
 */
import { type Int64, int64FromBigInt } from "./int64.ts";
import { InvariantViolation, invariant } from "./invariant.ts";

/** What a reader throws for malformed bytes. Whoever reads catches it: hostile input is an expected failure (P8). */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}

/** First byte of an encoded Int64: how wide the rest is. */
export const int64Narrow = 0;
const int64Wide = 1;

const twoTo32 = 0x1_0000_0000;
/** Below this, a loop beats the call of `Uint8Array.prototype.set`. */
const loopCopyMax = 24;
/** One past any buffer that we could ever mean to build: an endless loop stops here instead of at memory's end. */
const writerLengthMax = 1024 * 1024 * 1024;

// The hottest checks are no invariant(...): its message would be put together at every call.
function brokenSlice(start: number, end: number, length: number): never {
  throw new InvariantViolation(`slice ${start}..${end} of ${length} bytes`);
}

function brokenVarint(value: number): never {
  throw new InvariantViolation(`not a varint: ${value}`);
}

/** A buffer that is larger than this, and mostly empty after a truncation, is given back. */
const keptCapacityBytes = 1024 * 1024;

/** A growable byte buffer. Reused through {@link ByteWriter.reset}; only {@link ByteWriter.truncate} shrinks it. */
export class ByteWriter {
  #buffer: Uint8Array<ArrayBuffer>;
  #view: DataView<ArrayBuffer>;
  #length = 0;

  constructor(capacity: number = 256) {
    this.#buffer = new Uint8Array(capacity);
    this.#view = new DataView(this.#buffer.buffer);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Forgets everything written; the buffer stays. */
  reset(): void {
    this.#length = 0;
  }

  /** Takes back what was written from offset `length` on. */
  truncate(length: number): void {
    if (!(length >= 0 && length <= this.#length)) brokenSlice(length, this.#length, this.#length);
    this.#length = length;
    if (this.#buffer.length <= Math.max(keptCapacityBytes, 2 * length)) return;
    const kept = new Uint8Array(Math.max(keptCapacityBytes, 2 * length));
    kept.set(this.#buffer.subarray(0, length));
    this.#buffer = kept;
    this.#view = new DataView(kept.buffer);
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  f64(value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  /** Overwrites four bytes already written, at offset `at`. */
  setU32(at: number, value: number): void {
    if (!(at >= 0 && at + 4 <= this.#length)) brokenSlice(at, at + 4, this.#length);
    this.#view.setUint32(at, value, true);
  }

  /** Unsigned LEB128 of an integer in [0, 2^53 - 1]: one to eight bytes. */
  varint(value: number): void {
    if (!(Number.isSafeInteger(value) && value >= 0)) brokenVarint(value);
    this.#reserve(8);
    let rest = value;
    // Beyond 31 bits the shift operators lose the high half.
    while (rest >= 0x8000_0000) {
      this.#buffer[this.#length++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    while (rest >= 128) {
      this.#buffer[this.#length++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.#buffer[this.#length++] = rest;
  }

  /** Exact signed 64-bit integer: u8 0 and i32, or, where that is too narrow, u8 1 and i64. */
  int64(value: Int64): void {
    this.#reserve(9);
    if (typeof value === "number") {
      if ((value | 0) === value) {
        this.#buffer[this.#length] = int64Narrow;
        this.#view.setInt32(this.#length + 1, value, true);
        this.#length += 5;
        return;
      }
      invariant(Number.isSafeInteger(value), `not a canonical int64: ${value}`);
      this.#buffer[this.#length] = int64Wide;
      this.#view.setUint32(this.#length + 1, value % twoTo32, true);
      this.#view.setInt32(this.#length + 5, Math.floor(value / twoTo32), true);
    } else {
      invariant(typeof int64FromBigInt(value) === "bigint", `not a canonical int64: ${value}n`);
      this.#buffer[this.#length] = int64Wide;
      this.#view.setBigInt64(this.#length + 1, value, true);
    }
    this.#length += 9;
  }

  /** `source[start, end)` behind its length as a varint. */
  bytesWithLength(source: Uint8Array, start: number = 0, end: number = source.length): void {
    this.varint(end - start);
    this.raw(source, start, end);
  }

  /** `source[start, end)` as it is. */
  raw(source: Uint8Array, start: number = 0, end: number = source.length): void {
    const count = end - start;
    if (!(start >= 0 && count >= 0 && end <= source.length)) brokenSlice(start, end, source.length);
    this.#reserve(count);
    const buffer = this.#buffer;
    let to = this.#length;
    if (count <= loopCopyMax) {
      for (let from = start; from < end; from++) buffer[to++] = source[from] as number;
    } else {
      buffer.set(count === source.length ? source : source.subarray(start, end), to);
    }
    this.#length += count;
  }

  /** What was written, without a copy: valid until the next write or reset. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(0, this.#length);
  }

  /** What was written, owned by the caller. */
  copy(): Uint8Array<ArrayBuffer> {
    return this.#buffer.slice(0, this.#length);
  }

  #reserve(count: number): void {
    if (this.#length + count > this.#buffer.length) this.#grow(this.#length + count);
  }

  #grow(atLeast: number): void {
    invariant(atLeast <= writerLengthMax, `writer asked for ${atLeast} bytes, limit ${writerLengthMax}`);
    const grown = new Uint8Array(Math.max(atLeast, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
    this.#view = new DataView(grown.buffer);
  }
}

const nothing = new Uint8Array(0);
const noView = new DataView(nothing.buffer);

/** Reads `bytes[start, end)` front to back. Throws {@link DecodeError}, and nothing else, on malformed input. */
export class ByteReader {
  #bytes: Uint8Array = nothing;
  #view: DataView = noView;
  #position = 0;
  #end = 0;

  /** Starts over on other bytes. They are not copied: whoever owns them leaves them as they are meanwhile. */
  reset(bytes: Uint8Array, start: number = 0, end: number = bytes.length): void {
    invariant(start >= 0 && start <= end && end <= bytes.length, `slice ${start}..${end} of ${bytes.length} bytes`);
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    this.#position = start;
    this.#end = end;
  }

  /** Offset, in the bytes given to reset, of the next byte to read. */
  get position(): number {
    return this.#position;
  }

  /** Offset one past the last byte to read. */
  get end(): number {
    return this.#end;
  }

  get remaining(): number {
    return this.#end - this.#position;
  }

  /** The bytes given to reset: {@link ByteReader.position} indexes them. */
  get source(): Uint8Array {
    return this.#bytes;
  }

  u8(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  varint(): number {
    const bytes = this.#bytes;
    const first = bytes[this.#take(1)] as number;
    if (first < 128) return first;
    let value = first & 127;
    let scale = 128;
    for (let count = 2; count <= 8; count++) {
      const byte = bytes[this.#take(1)] as number;
      value += (byte & 127) * scale;
      if (byte < 128) {
        if (byte === 0) throw new DecodeError("varint with a useless last byte");
        if (value > Number.MAX_SAFE_INTEGER) throw new DecodeError("varint beyond 2^53 - 1");
        return value;
      }
      scale *= 128;
    }
    throw new DecodeError("varint longer than 8 bytes");
  }

  int64(): Int64 {
    const width = this.u8();
    if (width === int64Narrow) return this.#view.getInt32(this.#take(4), true);
    if (width !== int64Wide) throw new DecodeError(`int64 of unknown width ${width}`);
    const at = this.#take(8);
    const value = this.#view.getInt32(at + 4, true) * twoTo32 + this.#view.getUint32(at, true);
    if (!Number.isSafeInteger(value)) return this.#view.getBigInt64(at, true);
    if ((value | 0) === value) throw new DecodeError("int64 wider than needed");
    return value;
  }

  /** An integer in the safe range, written by {@link ByteWriter.int64}: a time. */
  safeInteger(): number {
    const value = this.int64();
    if (typeof value !== "number") throw new DecodeError("time beyond 2^53 - 1");
    return value;
  }

  /** Bytes behind their length: a view, valid as long as what was given to reset. */
  bytes(): Uint8Array {
    const length = this.varint();
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** Passes over bytes behind their length. Returns the length; the bytes end at {@link ByteReader.position}. */
  skipBytes(): number {
    const length = this.varint();
    this.#take(length);
    return length;
  }

  /**
   * How many items follow. Checked before anyone allocates for them: each item takes at least
   * `itemBytesMin` bytes of what remains, and no list is longer than `itemsMax`.
   */
  itemCount(itemsMax: number, itemBytesMin: number): number {
    const count = this.varint();
    if (count > itemsMax) throw new DecodeError(`${count} items, limit ${itemsMax}`);
    if (count * itemBytesMin > this.remaining) throw new DecodeError(`${count} items in ${this.remaining} bytes`);
    return count;
  }

  #take(count: number): number {
    const at = this.#position;
    if (count > this.#end - at) throw new DecodeError(`${count} bytes wanted, ${this.#end - at} left`);
    this.#position = at + count;
    return at;
  }
}
