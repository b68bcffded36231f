/**
 * Redis replies, incrementally, for clients: RESP2 and RESP3 out of chunks that end anywhere.
 *
 * Finished parts of an unfinished reply are kept as values, so no byte is parsed twice. Attributes are
 * read and dropped. Streamed strings and aggregates (`$?`, `*?`), which no Redis sends, are refused.
 */
import { int64Parse } from "@quipu/core";
import { ByteWindow } from "./byte-window.ts";
import { ReplyError, replyMap, type ReplyValue } from "./reply-value.ts";
import { bigNumberDigitsMax, lineBytesMax, type ReplyLimits, replyLimits } from "./resp-limits.ts";
import { decodeUtf8 } from "./utf8.ts";

/** `reply`, `push`: look at value. `more`: feed the next chunk. `error`: the stream is broken; see errorText. */
export type ReplyEvent = "reply" | "push" | "more" | "error";

type AggregateKind = "array" | "map" | "push" | "attribute";

interface Aggregate {
  readonly kind: AggregateKind;
  /** Elements it will have; a map's keys and values each count. items.length < size. */
  readonly size: number;
  readonly items: ReplyValue[];
}

/** What reading one element yields beside a value. */
const incomplete: unique symbol = Symbol("incomplete");
const opened: unique symbol = Symbol("opened");
type Element = ReplyValue | typeof incomplete | typeof opened;

const carriageReturn = 13;
const digitZero = 48;

const doublePattern = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i;
const bigNumberPattern = /^[+-]?\d+$/;

export class RespReplyParser {
  /** The last reply or push that next() announced. */
  value: ReplyValue = null;
  /** Set once next() has answered `error`. */
  errorText: string | undefined = undefined;

  readonly #limits: ReplyLimits;
  readonly #window = new ByteWindow();
  /** First byte not parsed yet. */
  #position = 0;
  /** Bytes before this hold no end of the line under way. */
  #searched = 0;
  /** Bytes of the reply under way before #position. */
  #replyBytes = 0;
  /** Aggregates under way, the outermost first. */
  readonly #open: Aggregate[] = [];

  constructor(limits: ReplyLimits = replyLimits) {
    this.#limits = limits;
  }

  /** `chunk` is used in place: its owner may reuse it once next() has said `more`. */
  feed(chunk: Uint8Array): void {
    if (this.errorText !== undefined) return;
    this.#keep();
    this.#window.append(chunk);
  }

  /** Advances to the end of the next reply or push. */
  next(): ReplyEvent {
    for (;;) {
      if (this.errorText !== undefined) return "error";
      const start = this.#position;
      const element = start < this.#window.end ? this.#readElement(start) : incomplete;
      if (element === incomplete) {
        if (this.errorText !== undefined) return "error";
        this.#keep();
        return "more";
      }
      this.#replyBytes += this.#position - start;
      if (this.#replyBytes > this.#limits.replyBytesMax) this.#fail("reply too large");
      else if (element !== opened) {
        const event = this.#place(element);
        if (event !== undefined) return event;
      }
    }
  }

  /** Puts a finished value where it belongs, closing what it completes. */
  #place(value: ReplyValue): "reply" | "push" | undefined {
    let current = value;
    for (;;) {
      const parent = this.#open.at(-1);
      if (parent === undefined) return this.#announce("reply", current);
      parent.items.push(current);
      if (parent.items.length < parent.size) return undefined;
      this.#open.pop();
      if (parent.kind === "attribute") return undefined;
      if (parent.kind === "push") return this.#announce("push", parent.items);
      current = parent.kind === "map" ? replyMap(parent.items) : parent.items;
    }
  }

  #announce(event: "reply" | "push", value: ReplyValue): "reply" | "push" {
    this.value = value;
    this.#replyBytes = 0;
    return event;
  }

  /** A scalar, or the header of an aggregate. Moves #position only if it is complete. */
  #readElement(start: number): Element {
    const type = this.#window.bytes[start] as number;
    if (type === 58) {
      const small = this.#readSmallInteger(start + 1);
      if (small !== undefined) return small;
    }
    const lineEnd = this.#findLineEnd(start + 1);
    if (lineEnd < 0) return incomplete;
    const from = start + 1;
    switch (type) {
      case 36: // $
      case 33: // !
      case 61: // =
        return this.#readBlob(type, from, lineEnd);
      case 42: // *
        return this.#readAggregate("array", from, lineEnd);
      case 126: // ~
        return this.#readAggregate("array", from, lineEnd);
      case 37: // %
        return this.#readAggregate("map", from, lineEnd);
      case 62: // >
        return this.#readAggregate("push", from, lineEnd);
      case 124: // |
        return this.#readAggregate("attribute", from, lineEnd);
      default:
        this.#position = lineEnd + 2;
        return this.#readScalar(type, from, lineEnd);
    }
  }

  /** Up to nine digits whose line end is here: nearly every integer there is. */
  #readSmallInteger(from: number): number | undefined {
    const { bytes, end } = this.#window;
    let value = 0;
    const stop = Math.min(from + 9, end - 1);
    for (let at = from; at < stop; at++) {
      const digit = (bytes[at] as number) - digitZero;
      if (digit >= 0 && digit <= 9) {
        value = value * 10 + digit;
        continue;
      }
      if (digit !== carriageReturn - digitZero || at === from || bytes[at + 1] !== 10) return undefined;
      this.#position = at + 2;
      return value;
    }
    return undefined;
  }

  #readScalar(type: number, from: number, lineEnd: number): Element {
    const bytes = this.#window.bytes;
    if (type === 58) return int64Parse(bytes, from, lineEnd) ?? this.#fail("malformed integer");
    const text = decodeUtf8(bytes, from, lineEnd);
    switch (type) {
      case 43: // +
        return text;
      case 45: // -
        return new ReplyError(text);
      case 95: // _
        return text === "" ? null : this.#fail("malformed null");
      case 35: // #
        return text === "t" ? true : text === "f" ? false : this.#fail("malformed boolean");
      case 44: // ,
        return readDouble(text) ?? this.#fail("malformed double");
      case 40: // (
        if (text.length > bigNumberDigitsMax || !bigNumberPattern.test(text)) return this.#fail("malformed big number");
        return BigInt(text.startsWith("+") ? text.slice(1) : text);
      default:
        return this.#fail(`unknown type ${type}`);
    }
  }

  /** Bulk strings, bulk errors, verbatim strings: a length, then bytes that are copied out. */
  #readBlob(type: number, from: number, lineEnd: number): Element {
    const { bytes, end } = this.#window;
    const length = int64Parse(bytes, from, lineEnd);
    if (length === -1 && type === 36) {
      this.#position = lineEnd + 2;
      return null;
    }
    const start = lineEnd + 2;
    if (typeof length !== "number" || length < 0 || length > this.#limits.bulkBytesMax) {
      return this.#fail("invalid bulk length");
    }
    if (this.#replyBytes + length > this.#limits.replyBytesMax) return this.#fail("reply too large");
    const stop = start + length;
    if (stop + 2 > end) return incomplete;
    if (bytes[stop] !== carriageReturn || bytes[stop + 1] !== 10) return this.#fail("bulk without its end");
    this.#position = stop + 2;
    if (type === 33) return new ReplyError(decodeUtf8(bytes, start, stop));
    // A verbatim string begins with three letters of format and a colon.
    if (type === 61) return length < 4 ? this.#fail("malformed verbatim string") : decodeUtf8(bytes, start + 4, stop);
    const copy = new Uint8Array(length);
    if (length > 32) copy.set(bytes.subarray(start, stop));
    else for (let index = 0; index < length; index++) copy[index] = bytes[start + index] as number;
    return copy;
  }

  #readAggregate(kind: AggregateKind, from: number, lineEnd: number): Element {
    const count = int64Parse(this.#window.bytes, from, lineEnd);
    this.#position = lineEnd + 2;
    if (count === -1 && kind === "array") return null;
    const pairs = kind === "map" || kind === "attribute";
    if (typeof count !== "number" || count < 0 || count > this.#limits.elementsMax) {
      return this.#fail("invalid aggregate length");
    }
    if (kind === "push" && (this.#open.length > 0 || count === 0)) return this.#fail("misplaced push");
    if (this.#open.length >= this.#limits.depthMax) return this.#fail("nested too deeply");
    if (count === 0) return kind === "array" ? [] : kind === "map" ? new Map() : opened;
    this.#open.push({ kind, size: pairs ? count * 2 : count, items: [] });
    return opened;
  }

  /** Where the line's CR is, with its LF; -1 while it is not here. */
  #findLineEnd(from: number): number {
    const { bytes, end } = this.#window;
    const found = bytes.indexOf(carriageReturn, Math.max(from, this.#searched));
    if (found >= 0 && found + 1 < end) {
      this.#searched = 0;
      if (bytes[found + 1] === 10) return found;
      this.#fail("carriage return without line feed");
      return -1;
    }
    this.#searched = found >= 0 && found < end ? found : end;
    if (end - from > lineBytesMax) this.#fail("line too long");
    return -1;
  }

  #fail(reason: string): typeof incomplete {
    this.errorText ??= `Protocol error: ${reason}`;
    return incomplete;
  }

  #keep(): void {
    const shift = this.#window.keep(this.#position);
    this.#position -= shift;
    this.#searched = Math.max(0, this.#searched - shift);
  }
}

function readDouble(text: string): number | undefined {
  switch (text) {
    case "inf":
    case "+inf":
      return Infinity;
    case "-inf":
      return -Infinity;
    case "nan":
    case "-nan":
      return NaN;
    default:
      return doublePattern.test(text) ? Number(text) : undefined;
  }
}
