/** What a reply means in TypeScript. */
import type { Int64 } from "@quipu/core";
import { decodeUtf8 } from "./utf8.ts";

/**
 * - simple and verbatim strings: string
 * - bulk strings: a copy of their bytes
 * - integers: Int64 (number where exact, else bigint); big numbers: bigint; doubles: number
 * - arrays and sets: an array; maps: a Map whose bulk-string keys are text
 * - errors: a {@link ReplyError}, a value like any other, also within arrays
 */
export type ReplyValue =
  | null
  | boolean
  | Int64
  | string
  | Uint8Array
  | ReplyError
  | readonly ReplyValue[]
  | ReadonlyMap<ReplyValue, ReplyValue>;

/** An error reply. No Error: it is part of an answer, thousands may come in one, and nobody threw it. */
export class ReplyError {
  /** The first word, such as `ERR` or `WRONGTYPE`. */
  readonly code: string;
  /** The whole text, first word included. */
  readonly text: string;
  constructor(text: string) {
    const blank = text.indexOf(" ");
    this.code = blank < 0 ? text : text.slice(0, blank);
    this.text = text;
  }
}

/** The text of a simple or bulk string; undefined for any other value. */
export function replyText(value: ReplyValue): string | undefined {
  if (typeof value === "string") return value;
  return value instanceof Uint8Array ? decodeUtf8(value) : undefined;
}

/** Keys and values in turn, as a map arrives. */
export function replyMap(items: readonly ReplyValue[]): ReadonlyMap<ReplyValue, ReplyValue> {
  const map = new Map<ReplyValue, ReplyValue>();
  for (let index = 0; index + 1 < items.length; index += 2) {
    const key = items[index] as ReplyValue;
    map.set(replyText(key) ?? key, items[index + 1] as ReplyValue);
  }
  return map;
}
