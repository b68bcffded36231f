/**
 * Redis requests, incrementally: multibulk and inline commands out of chunks that end anywhere.
 *
 * The hot path of the server: a command costs about 100 ns and no allocation; arguments are offsets into
 * {@link RespRequestParser.bytes}. Rules and error texts are those of Redis 7 (networking.c,
 * processMultibulkBuffer and processInlineBuffer): lengths are canonical decimals, the CR LF behind an
 * argument is skipped unread, empty lines and counts <= 0 are ignored, errors are final.
 */
import { int64Parse } from "@quipu/core";
import { ByteWindow } from "./byte-window.ts";
import { hasQuotes, splitInline } from "./inline-arguments.ts";
import {
  lineBytesMax,
  type RequestLimits,
  requestLimits,
  unauthenticatedArgumentsMax,
  unauthenticatedBulkBytesMax,
} from "./resp-limits.ts";
import { decodeUtf8 } from "./utf8.ts";

/** `command`: its arguments are there. `more`: feed the next chunk. `error`: answer errorText and close. */
export type RequestEvent = "command" | "more" | "error";

const lineFeed = 10;
const carriageReturn = 13;
const dollar = 36;
const asterisk = 42;

/** What #readLength returns beside lengths >= 0. */
const lengthIncomplete = -1;
const lengthNegative = -2;
const lengthMalformed = -3;

export class RespRequestParser {
  /** False: Redis' tight limits for strangers hold. May change between two calls of next(). */
  authenticated = true;
  /** Set once next() has answered `error`: `ERR Protocol error: …`. */
  errorText: string | undefined = undefined;
  /** Of the command that next() announced; argument 0 is its name. At least 1. */
  argumentCount = 0;

  readonly #limits: RequestLimits;
  readonly #window = new ByteWindow();
  #starts = new Int32Array(16);
  #ends = new Int32Array(16);
  /** First byte not parsed yet. */
  #position = 0;
  /** First byte of the command under way; commandStart <= position <= window.end. */
  #commandStart = 0;
  /** Bytes before this hold no end of the line under way, so that no byte is searched twice. */
  #searched = 0;
  /** Arguments of the multibulk under way that are still to come; 0 between commands. */
  #argumentsLeft = 0;
  /** Bytes of the argument whose header is read; -1 before its header. */
  #bulkBytes = -1;

  constructor(limits: RequestLimits = requestLimits) {
    this.#limits = limits;
  }

  /** What the offsets point into. Read it anew after each next(); unchanged until the next feed(). */
  get bytes(): Uint8Array {
    return this.#window.bytes;
  }

  argumentStart(index: number): number {
    return this.#starts[index] as number;
  }

  argumentEnd(index: number): number {
    return this.#ends[index] as number;
  }

  /** A view, valid until the next feed(); copy what lives longer. */
  argument(index: number): Uint8Array {
    return this.#window.bytes.subarray(this.#starts[index], this.#ends[index]);
  }

  argumentText(index: number): string {
    return decodeUtf8(this.#window.bytes, this.#starts[index] as number, this.#ends[index] as number);
  }

  /** Bytes of an unfinished or unread command that are being held. */
  get bufferedBytes(): number {
    return this.#window.end - this.#commandStart;
  }

  /**
   * Takes the next bytes. `chunk` is used in place: its owner may reuse it once next() has said `more`.
   * Ends the validity of the arguments of the last command.
   */
  feed(chunk: Uint8Array): void {
    if (this.errorText !== undefined) return;
    // After a command that next() announced, its own bytes are done with.
    if (this.#argumentsLeft === 0) {
      this.#commandStart = this.#position;
      this.argumentCount = 0;
    }
    this.#keep();
    this.#window.append(chunk);
  }

  /** Advances to the end of the next command. */
  next(): RequestEvent {
    if (this.errorText !== undefined) return "error";
    if (this.#argumentsLeft === 0) {
      const begun = this.#begin();
      if (begun !== undefined) return begun;
    }
    return this.#readArguments();
  }

  /** Reads up to a multibulk's first argument (undefined), or a whole inline command. */
  #begin(): RequestEvent | undefined {
    const window = this.#window;
    this.argumentCount = 0;
    for (;;) {
      const start = this.#position;
      this.#commandStart = start;
      if (start >= window.end) return this.#more();
      if (window.bytes[start] !== asterisk) {
        const inline = this.#readInline(start);
        if (inline !== undefined) return inline;
        continue;
      }
      const count = this.#readLength(start + 1, "too big mbulk count string");
      if (count > 0) {
        if (count > this.#limits.argumentsMax) return this.#fail("invalid multibulk length");
        if (count > unauthenticatedArgumentsMax && !this.authenticated) {
          return this.#fail("unauthenticated multibulk length");
        }
        this.#argumentsLeft = count;
        return undefined;
      }
      if (count === lengthIncomplete) return this.#more();
      if (count === lengthMalformed) return this.#fail("invalid multibulk length");
      // `*0` and `*-1` are no commands; Redis passes over them.
    }
  }

  #readArguments(): RequestEvent {
    const window = this.#window;
    const end = window.end;
    while (this.#argumentsLeft > 0) {
      let length = this.#bulkBytes;
      if (length < 0) {
        length = this.#readBulkHeader();
        if (length < 0) return this.errorText === undefined ? this.#more() : "error";
      }
      const start = this.#position;
      const stop = start + length;
      if (stop + 2 > end) {
        this.#bulkBytes = length;
        return this.#more();
      }
      const index = this.argumentCount;
      if (index === this.#starts.length) this.#growArguments();
      this.#starts[index] = start;
      this.#ends[index] = stop;
      this.argumentCount = index + 1;
      this.#position = stop + 2;
      this.#bulkBytes = -1;
      this.#argumentsLeft--;
    }
    return "command";
  }

  /** Bytes of the next argument; -1: more is needed, or it failed. */
  #readBulkHeader(): number {
    const at = this.#position;
    const window = this.#window;
    if (at >= window.end) return -1;
    const first = window.bytes[at] as number;
    const tooBig = "too big bulk count string";
    const length = first === dollar ? this.#readLength(at + 1, tooBig) : this.#readUnusualLength(at, tooBig);
    if (length === lengthIncomplete) return -1;
    if (first !== dollar) this.#fail(`expected '$', got '${String.fromCharCode(first)}'`);
    else if (length < 0 || length > this.#limits.bulkBytesMax) this.#fail("invalid bulk length");
    else if (length > unauthenticatedBulkBytesMax && !this.authenticated) this.#fail("unauthenticated bulk length");
    else if (this.#position - this.#commandStart + length > this.#limits.commandBytesMax) this.#fail("too big request");
    else return length;
    return -1;
  }

  /** Reads a decimal and its CR LF from `at`, leaving #position behind them, or untouched if incomplete. */
  #readLength(at: number, tooBig: string): number {
    const bytes = this.#window.bytes;
    const lastByte = this.#window.end - 1;
    if (at < lastByte) {
      let value = (bytes[at] as number) - 48;
      if (value >= 1 && value <= 9) {
        const stop = at + 9 < lastByte ? at + 9 : lastByte;
        let next = at + 1;
        for (; next < stop; next++) {
          const digit = (bytes[next] as number) - 48;
          if (digit < 0 || digit > 9) break;
          value = value * 10 + digit;
        }
        if (next < lastByte && bytes[next] === carriageReturn) {
          this.#position = next + 2;
          return value;
        }
      }
    }
    return this.#readUnusualLength(at, tooBig);
  }

  /** Zero, negative, long, malformed or incomplete. */
  #readUnusualLength(at: number, tooBig: string): number {
    const { bytes, end } = this.#window;
    const stop = this.#find(carriageReturn, at);
    if (stop < 0) {
      if (end - (at - 1) > lineBytesMax) this.#fail(tooBig);
      return lengthIncomplete;
    }
    if (stop + 1 >= end) return lengthIncomplete;
    this.#position = stop + 2;
    this.#searched = 0;
    const value = int64Parse(bytes, at, stop);
    if (value === undefined) return lengthMalformed;
    if (value < 0) return lengthNegative;
    return typeof value === "number" ? value : lengthMalformed;
  }

  /** An inline command; undefined where the line holds no word. */
  #readInline(start: number): RequestEvent | undefined {
    const lineEnd = this.#find(lineFeed, start);
    if (lineEnd < 0) {
      if (this.#window.end - start > lineBytesMax) return this.#fail("too big inline request");
      return this.#more();
    }
    this.#searched = 0;
    this.#position = lineEnd + 1;
    let stop = lineEnd;
    if (stop > start && this.#window.bytes[stop - 1] === carriageReturn) stop--;
    if (stop - start > this.#limits.commandBytesMax) return this.#fail("too big request");
    // Unescaping writes; a chunk is its owner's, so the line moves to our own memory first.
    const moved = !this.#window.owned && hasQuotes(this.#window.bytes, start, stop) ? this.#keep() : 0;
    const balanced = splitInline(this.#window.bytes, start - moved, stop - moved, (from, to) => {
      const index = this.argumentCount;
      if (index === this.#starts.length) this.#growArguments();
      this.#starts[index] = from;
      this.#ends[index] = to;
      this.argumentCount = index + 1;
    });
    if (!balanced) return this.#fail("unbalanced quotes in request");
    return this.argumentCount > 0 ? "command" : undefined;
  }

  /** The first `byte` at or behind `from`, or -1, remembering how far it has looked. */
  #find(byte: number, from: number): number {
    const { bytes, end } = this.#window;
    const found = bytes.indexOf(byte, Math.max(from, this.#searched));
    if (found >= 0 && found < end) return found;
    this.#searched = end;
    return -1;
  }

  #more(): RequestEvent {
    if (this.errorText !== undefined) return "error";
    this.#keep();
    return "more";
  }

  #fail(reason: string): RequestEvent {
    this.errorText ??= `ERR Protocol error: ${reason}`;
    this.argumentCount = 0;
    return "error";
  }

  /** Saves the command under way from the chunk's end of life. Returns by how much offsets shrank. */
  #keep(): number {
    const shift = this.#window.keep(this.#commandStart);
    if (shift === 0) return 0;
    this.#position -= shift;
    this.#commandStart = 0;
    this.#searched = Math.max(0, this.#searched - shift);
    for (let index = 0; index < this.argumentCount; index++) {
      this.#starts[index] = (this.#starts[index] as number) - shift;
      this.#ends[index] = (this.#ends[index] as number) - shift;
    }
    return shift;
  }

  /** Doubles with the arguments that came, never with the number a header promised. */
  #growArguments(): void {
    const starts = new Int32Array(this.#starts.length * 2);
    const ends = new Int32Array(this.#ends.length * 2);
    starts.set(this.#starts);
    ends.set(this.#ends);
    this.#starts = starts;
    this.#ends = ends;
  }
}
