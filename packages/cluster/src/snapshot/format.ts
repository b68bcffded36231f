/**
 * A state snapshot as one stream of bytes: all entries of a machine in key order, so equal states at equal positions
 * give equal bytes, whoever makes them; that is what lets a transfer go on with another node.
 *
 * Little-endian: "QSS1", u32 format, f64 position, 8 bytes state hash;
 * then for each entry varint key length, key, varint value length, value;
 * then a key length of 0 (no key is empty) and f64 number of entries.
 * A CRC-32 of all of it travels beside it. Sessions, idempotency entries, writers, log time and expiry are entries.
 */
import { crc32 } from "node:zlib";
import { ByteReader, ByteWriter, DecodeError, lsn, type Lsn, QuipuError } from "@quipu/core";

const magic = 0x3153_5351;
const format = 1;
const headBytes = 24;
const hashDigits = 16;

/** Pieces that a snapshot under construction grows by. */
const blockBytes: number = 1024 * 1024;

/** What tells one snapshot from another. */
export interface SnapshotIdentity {
  readonly position: Lsn;
  readonly totalBytes: number;
  /** CRC-32 of the whole. */
  readonly checksum: number;
}

export function isSameSnapshot(left: SnapshotIdentity, right: SnapshotIdentity): boolean {
  return left.position === right.position && left.totalBytes === right.totalBytes && left.checksum === right.checksum;
}

/** A finished snapshot in memory, in blocks. */
export class SnapshotBytes implements SnapshotIdentity {
  readonly position: Lsn;
  readonly totalBytes: number;
  readonly checksum: number;
  readonly #blocks: readonly Uint8Array[];

  constructor(position: Lsn, blocks: readonly Uint8Array[], totalBytes: number, checksum: number) {
    this.position = position;
    this.totalBytes = totalBytes;
    this.checksum = checksum;
    this.#blocks = blocks;
  }

  /** A copy of the bytes from `offset` on; fewer than `length` only at the end. */
  read(offset: number, length: number): Uint8Array {
    const end = Math.min(offset + length, this.totalBytes);
    const piece = new Uint8Array(Math.max(end - offset, 0));
    for (let at = offset; at < end;) {
      const block = this.#blocks[Math.floor(at / blockBytes)] as Uint8Array;
      const from = at % blockBytes;
      const part = block.subarray(from, Math.min(blockBytes, from + end - at));
      piece.set(part, at - offset);
      at += part.length;
    }
    return piece;
  }
}

/** Takes entries in key order; in as many steps as the caller likes. */
export class SnapshotBuilder {
  readonly #position: Lsn;
  readonly #bytesMax: number;
  readonly #writer = new ByteWriter(4096);
  readonly #blocks: Uint8Array[] = [];
  #totalBytes = 0;
  #checksum = 0;
  #entries = 0;

  constructor(position: Lsn, stateHash: string, bytesMax: number) {
    this.#position = position;
    this.#bytesMax = bytesMax;
    this.#writer.u32(magic);
    this.#writer.u32(format);
    this.#writer.f64(position);
    for (let at = 0; at < hashDigits; at += 2) this.#writer.u8(Number.parseInt(stateHash.slice(at, at + 2), 16));
    this.#flush();
  }

  /** Throws OVERLOADED where the snapshot would grow past its limit. */
  add(key: Uint8Array, value: Uint8Array): void {
    this.#writer.bytesWithLength(key);
    this.#writer.bytesWithLength(value);
    this.#entries += 1;
    this.#flush();
  }

  finish(): SnapshotBytes {
    this.#writer.varint(0);
    this.#writer.f64(this.#entries);
    this.#flush();
    return new SnapshotBytes(this.#position, this.#blocks, this.#totalBytes, this.#checksum);
  }

  #flush(): void {
    const bytes = this.#writer.bytes();
    if (this.#totalBytes + bytes.length > this.#bytesMax) {
      throw new QuipuError("OVERLOADED", `the state takes more than ${this.#bytesMax} bytes in a snapshot`);
    }
    this.#checksum = crc32(bytes, this.#checksum);
    for (let at = 0; at < bytes.length;) {
      const from = this.#totalBytes % blockBytes;
      if (from === 0) this.#blocks.push(new Uint8Array(blockBytes));
      const part = bytes.subarray(at, at + blockBytes - from);
      this.#blocks.at(-1)?.set(part, from);
      this.#totalBytes += part.length;
      at += part.length;
    }
    this.#writer.reset();
  }
}

/** Reads a snapshot that came over the wire. Everything throws STORE_CORRUPT where the bytes are not one. */
export class SnapshotReader {
  readonly position: Lsn;
  readonly stateHash: string;
  readonly #reader = new ByteReader();
  readonly #isUnchecked: boolean;
  #entries = 0;

  /** `isUnchecked`: tests only; what does not decode counts as the end. */
  constructor(bytes: Uint8Array, isUnchecked: boolean = false) {
    this.#isUnchecked = isUnchecked;
    this.#reader.reset(bytes);
    const { position, stateHash } = decoding(() => this.#head());
    this.position = position;
    this.stateHash = stateHash;
  }

  /** The next entry, as views of the bytes; undefined after the last. */
  next(): { readonly key: Uint8Array; readonly value: Uint8Array } | undefined {
    try {
      return this.#next();
    } catch (error) {
      if (this.#isUnchecked) return undefined;
      throw error;
    }
  }

  #next(): { readonly key: Uint8Array; readonly value: Uint8Array } | undefined {
    return decoding(() => {
      const key = this.#reader.bytes();
      if (key.length === 0) return this.#end();
      this.#entries += 1;
      return { key, value: this.#reader.bytes() };
    });
  }

  #head(): { readonly position: Lsn; readonly stateHash: string } {
    const reader = this.#reader;
    if (reader.remaining < headBytes || reader.u32() !== magic) throw new DecodeError("no snapshot");
    const found = reader.u32();
    if (found !== format) throw new DecodeError(`format ${found}, ours is ${format}`);
    const position = reader.f64();
    if (!Number.isSafeInteger(position) || position < 0) throw new DecodeError(`position ${position}`);
    let stateHash = "";
    while (stateHash.length < hashDigits) stateHash += reader.u8().toString(16).padStart(2, "0");
    return { position: lsn(position), stateHash };
  }

  #end(): undefined {
    const entries = this.#reader.f64();
    if (entries !== this.#entries) throw new DecodeError(`${this.#entries} entries instead of ${entries}`);
    if (this.#reader.remaining > 0) throw new DecodeError(`${this.#reader.remaining} bytes too many`);
  }
}

function decoding<Result>(action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new QuipuError("STORE_CORRUPT", `a state snapshot does not decode: ${error.message}`, { cause: error });
  }
}
