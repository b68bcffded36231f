/**
 * Redis replies (and commands) into one growing buffer: RESP2 or RESP3, as the connection negotiated.
 * A server writes all replies of a turn, then sends {@link RespWriter.take} in one write.
 */
import { utf8Length, writeUtf8 } from "./utf8.ts";

/** The protocol version of `HELLO`. */
export type RespVersion = 2 | 3;

/** Enough for some thousand integer replies; grows by doubling. */
const initialBytes = 4096;

/** A larger buffer is handed over by {@link RespWriter.take} instead of being copied and kept. */
const copiedBytesMax = 16 * 1024;

/** `-9223372036854775808` with type byte and CR LF. */
const integerBytesMax = 23;

const newline = 10;
const carriageReturn = 13;
const digitZero = 48;
const minus = 45;

const typeOf = {
  simple: 43, // +
  error: 45, // -
  integer: 58, // :
  bulk: 36, // $
  array: 42, // *
  map: 37, // %
  set: 126, // ~
  push: 62, // >
  null: 95, // _
  boolean: 35, // #
  double: 44, // ,
  verbatim: 61, // =
  bigNumber: 40, // (
} as const;

export class RespWriter {
  version: RespVersion;
  #buffer: Uint8Array;
  #length = 0;
  readonly #allocate: (bytes: number) => Uint8Array;

  /** `allocate` may return memory that is not zeroed (`Buffer.allocUnsafe`): only written bytes are handed out. */
  constructor(version: RespVersion = 2, allocate: (bytes: number) => Uint8Array = (bytes) => new Uint8Array(bytes)) {
    this.version = version;
    this.#allocate = allocate;
    this.#buffer = allocate(initialBytes);
  }

  /** Bytes written since the last take() or clear(). */
  get length(): number {
    return this.#length;
  }

  /** Hands the bytes over; the writer is empty afterwards and never touches them again. */
  take(): Uint8Array {
    const length = this.#length;
    this.#length = 0;
    const buffer = this.#buffer;
    if (length > copiedBytesMax) {
      this.#buffer = this.#allocate(initialBytes);
      return buffer.subarray(0, length);
    }
    const bytes = this.#allocate(length);
    bytes.set(buffer.subarray(0, length));
    return bytes;
  }

  /** Forgets what was written behind `length`, for instance a reply that failed half way. */
  truncate(length: number): void {
    if (length < this.#length) this.#length = length;
  }

  /** `+OK`. CR and LF in it become blanks, as in Redis. */
  simpleString(text: string): void {
    this.#line(typeOf.simple, text);
  }

  /** `-ERR …`: the text with its first word. CR and LF in it become blanks. */
  error(text: string): void {
    this.#line(typeOf.error, text);
  }

  /** A number must be a safe integer. */
  integer(value: number | bigint): void {
    this.#ensure(integerBytesMax);
    this.#buffer[this.#length++] = typeOf.integer;
    if (typeof value === "number") this.#decimal(value);
    else this.#length = writeUtf8(value.toString(), this.#buffer, this.#length);
    this.#endLine();
  }

  bulk(bytes: Uint8Array, start: number = 0, end: number = bytes.length): void {
    this.#blob(typeOf.bulk, end - start);
    // Copying a dozen bytes one by one is cheaper than making a view for set().
    if (end - start <= 32) {
      for (let at = start; at < end; at++) this.#buffer[this.#length++] = bytes[at] as number;
    } else {
      this.#buffer.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), this.#length);
      this.#length += end - start;
    }
    this.#endLine();
  }

  bulkText(text: string): void {
    this.#blob(typeOf.bulk, utf8Length(text));
    this.#length = writeUtf8(text, this.#buffer, this.#length);
    this.#endLine();
  }

  /** An integer as a bulk string, which is what `GET` answers. A number must be a safe integer. */
  bulkInteger(value: number | bigint): void {
    if (typeof value === "bigint") return this.bulkText(value.toString());
    this.#blob(typeOf.bulk, decimalLength(value));
    this.#decimal(value);
    this.#endLine();
  }

  /** No value: `$-1`, or RESP3 `_`. */
  null(): void {
    this.raw(this.version === 3 ? resp3Null : resp2Null);
  }

  /** No array: `*-1`, or RESP3 `_`. What EXEC answers when WATCH failed. */
  nullArray(): void {
    this.raw(this.version === 3 ? resp3Null : resp2NullArray);
  }

  /** `count` replies follow. */
  arrayHeader(count: number): void {
    this.#header(typeOf.array, count);
  }

  /** `count` pairs of replies follow; in RESP2 a flat array. */
  mapHeader(count: number): void {
    if (this.version === 3) this.#header(typeOf.map, count);
    else this.#header(typeOf.array, count * 2);
  }

  /** `count` replies follow; in RESP2 an array. */
  setHeader(count: number): void {
    this.#header(this.version === 3 ? typeOf.set : typeOf.array, count);
  }

  /** A message outside the order of replies, `count` replies follow; in RESP2 an array. */
  pushHeader(count: number): void {
    this.#header(this.version === 3 ? typeOf.push : typeOf.array, count);
  }

  /** RESP3 `,`; in RESP2 a bulk string. */
  double(value: number): void {
    const text = Number.isNaN(value)
      ? "nan"
      : value === Infinity
        ? "inf"
        : value === -Infinity
          ? "-inf"
          : String(value);
    if (this.version === 3) this.#line(typeOf.double, text);
    else this.bulkText(text);
  }

  /** RESP3 `#t`; in RESP2 the integers 1 and 0. */
  boolean(value: boolean): void {
    if (this.version === 3) this.#line(typeOf.boolean, value ? "t" : "f");
    else this.integer(value ? 1 : 0);
  }

  /** Text for people, such as INFO. RESP3 `=` with a format of three letters; in RESP2 a bulk string. */
  verbatim(text: string, format: "txt" | "mkd" = "txt"): void {
    if (this.version === 2) return this.bulkText(text);
    this.#blob(typeOf.verbatim, utf8Length(text) + 4);
    this.#length = writeUtf8(`${format}:`, this.#buffer, this.#length);
    this.#length = writeUtf8(text, this.#buffer, this.#length);
    this.#endLine();
  }

  /** Beyond 64 bits. RESP3 `(`; in RESP2 a bulk string. */
  bigNumber(value: bigint): void {
    if (this.version === 3) this.#line(typeOf.bigNumber, value.toString());
    else this.bulkText(value.toString());
  }

  /** A whole encoded reply (`+OK\r\n`), or a part of one. */
  raw(bytes: Uint8Array): void {
    this.#ensure(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Type, text without line ends, CR LF. */
  #line(type: number, text: string): void {
    const safe = text.includes("\n") || text.includes("\r") ? text.replaceAll(/[\r\n]/g, " ") : text;
    this.#ensure(utf8Length(safe) + 3);
    this.#buffer[this.#length++] = type;
    this.#length = writeUtf8(safe, this.#buffer, this.#length);
    this.#endLine();
  }

  #header(type: number, count: number): void {
    this.#ensure(integerBytesMax);
    this.#buffer[this.#length++] = type;
    this.#decimal(count);
    this.#endLine();
  }

  /** Header of `bytes` bytes, and room for them and their CR LF. */
  #blob(type: number, bytes: number): void {
    this.#ensure(integerBytesMax + bytes + 2);
    this.#buffer[this.#length++] = type;
    this.#decimal(bytes);
    this.#endLine();
  }

  /** Room has been made by the caller. */
  #decimal(value: number): void {
    const buffer = this.#buffer;
    let rest = value;
    let at = this.#length;
    if (rest < 0) {
      buffer[at++] = minus;
      rest = -rest;
    }
    if (rest < 10) {
      buffer[at] = digitZero + rest;
      this.#length = at + 1;
      return;
    }
    const end = at + digitsOf(rest);
    this.#length = end;
    at = end;
    // Above 31 bits a division is one of doubles; so take nine digits off at once.
    while (rest > 0x7fff_ffff) {
      const high = Math.floor(rest / 1e9);
      let low = rest - high * 1e9;
      for (let digit = 0; digit < 9; digit++) {
        const next = (low / 10) | 0;
        buffer[--at] = digitZero + (low - next * 10);
        low = next;
      }
      rest = high;
    }
    let small = rest | 0;
    while (small > 0) {
      const next = (small / 10) | 0;
      buffer[--at] = digitZero + (small - next * 10);
      small = next;
    }
  }

  #endLine(): void {
    this.#buffer[this.#length++] = carriageReturn;
    this.#buffer[this.#length++] = newline;
  }

  #ensure(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    let capacity = this.#buffer.length * 2;
    while (capacity < needed) capacity *= 2;
    const larger = this.#allocate(capacity);
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }
}

const resp2Null = Uint8Array.of(typeOf.bulk, minus, 49, carriageReturn, newline);
const resp2NullArray = Uint8Array.of(typeOf.array, minus, 49, carriageReturn, newline);
const resp3Null = Uint8Array.of(typeOf.null, carriageReturn, newline);

/** Decimal digits of an integer >= 1. */
function digitsOf(value: number): number {
  let digits = 1;
  for (let power = 10; power <= value && digits < 16; power *= 10) digits++;
  return digits;
}

function decimalLength(value: number): number {
  if (value < 0) return 1 + decimalLength(-value);
  return value === 0 ? 1 : digitsOf(value);
}
