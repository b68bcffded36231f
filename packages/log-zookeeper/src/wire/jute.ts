/**
 * Jute, ZooKeeper's encoding: big-endian numbers, strings and buffers behind an int32 length (-1: none). A request is
 * written as a whole frame; of a reply, bytes that are kept are copied.
 * Source: zookeeper-jute, BinaryOutputArchive and BinaryInputArchive.
 */

/** A reply that is not what the protocol says. */
export class JuteError extends Error {
  override readonly name = "JuteError";
}

/** Length, request id, operation: filled in when the frame is sent. */
export const frameHeaderBytes = 12;
/** Enough for a request without a value, so that it is allocated once. */
const initialBytes = 256;

export class JuteWriter {
  #bytes: Buffer = Buffer.allocUnsafe(initialBytes);
  #length: number;

  /** Leaves `skipped` bytes free in front, for what is known later. */
  constructor(skipped: number = frameHeaderBytes) {
    this.#length = skipped;
  }

  int(value: number): this {
    this.#reserve(4);
    this.#length = this.#bytes.writeInt32BE(value, this.#length);
    return this;
  }

  long(value: bigint): this {
    this.#reserve(8);
    this.#length = this.#bytes.writeBigInt64BE(value, this.#length);
    return this;
  }

  boolean(value: boolean): this {
    this.#reserve(1);
    this.#length = this.#bytes.writeUInt8(value ? 1 : 0, this.#length);
    return this;
  }

  buffer(value: Uint8Array): this {
    this.int(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  string(value: string): this {
    return this.buffer(Buffer.from(value, "utf8"));
  }

  /** Everything written, with the free bytes in front. */
  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#length + count, 2 * this.#bytes.length));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}

/** Reads front to back. Throws {@link JuteError} past the end. */
export class JuteReader {
  readonly #bytes: Buffer;
  #position = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#position === this.#bytes.length;
  }

  int(): number {
    return this.#bytes.readInt32BE(this.#advance(4));
  }

  long(): bigint {
    return this.#bytes.readBigInt64BE(this.#advance(8));
  }

  boolean(): boolean {
    return this.#bytes.readUInt8(this.#advance(1)) !== 0;
  }

  /** A copy: a value of some bytes must not keep the chunk of the socket that it came in. */
  buffer(): Uint8Array {
    const length = Math.max(0, this.int());
    const start = this.#advance(length);
    return new Uint8Array(this.#bytes.subarray(start, start + length));
  }

  string(): string {
    const length = Math.max(0, this.int());
    const start = this.#advance(length);
    return this.#bytes.toString("utf8", start, start + length);
  }

  strings(): readonly string[] {
    const found: string[] = [];
    for (let left = this.int(); left > 0; left--) found.push(this.string());
    return found;
  }

  skip(count: number): void {
    this.#advance(count);
  }

  #advance(count: number): number {
    const start = this.#position;
    if (start + count > this.#bytes.length) {
      throw new JuteError(`${count} bytes at offset ${start} of a reply of ${this.#bytes.length}`);
    }
    this.#position = start + count;
    return start;
  }
}
