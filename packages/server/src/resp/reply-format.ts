/**
 * How an outcome of the state machine becomes a reply. A command's format is a small number, so that it travels
 * through the replica as (part of) the caller's tag and no object is made per command.
 */
import { unreachable } from "@quipu/core";
import type { OutcomeValue } from "@quipu/counters";
import type { RespWriter } from "@quipu/protocol";
import { encodedError } from "./refusal.ts";

export type ReplyFormat = number;

/** An integer is `:n`. INCR, DEL, TTL … The commonest, so it is 0. */
export const formatInteger: ReplyFormat = 0;
/** An integer is a bulk string. GET, GETDEL, INCRBYFLOAT; MGET, KEYS and SCAN for each element. */
export const formatBulk: ReplyFormat = 1;
/** `+OK` or null. SET. */
export const formatStatus: ReplyFormat = 2;
/** ok is 1, nil is 0. SETNX. */
export const formatWhetherSet: ReplyFormat = 3;
/** integer 1 is `string`, 0 is `none`. TYPE. */
export const formatType: ReplyFormat = 4;
/** A scan whose TYPE filter no key here can pass: the cursor only. */
export const formatScanOfNothing: ReplyFormat = 5;
/** INCREX BYFLOAT: RESP3 doubles, RESP2 bulk strings. */
export const formatDoubles: ReplyFormat = 6;
/** The reply needs more than a number: the connection's next context tells (MULTI, WATCH, Q.BATCH). */
export const formatByContext: ReplyFormat = 7;
/** Added to a tag: CLIENT REPLY OFF or SKIP. */
export const silentFlag = 8;

/** Writes an outcome of an operation. */
export function writeOutcome(writer: RespWriter, outcome: OutcomeValue, format: ReplyFormat): void {
  switch (outcome.type) {
    case "integer":
      return writeInteger(writer, outcome.value, format);
    case "bytes":
      if (format === formatDoubles) return writeDouble(writer, outcome.value);
      return writer.bulk(outcome.value);
    case "ok":
      if (format === formatWhetherSet) return writer.integer(1);
      return writer.simpleString("OK");
    case "nil":
      if (format === formatWhetherSet) return writer.integer(0);
      return writer.null();
    case "error":
      return writer.raw(encodedError(outcome.code));
    case "array":
      return writeArray(writer, outcome.items, format);
    default:
      return unreachable(outcome);
  }
}

function writeInteger(writer: RespWriter, value: number | bigint, format: ReplyFormat): void {
  switch (format) {
    case formatBulk:
    case formatScanOfNothing:
      return writer.bulkInteger(value);
    case formatType:
      return writer.simpleString(value === 0 ? "none" : "string");
    case formatDoubles:
      if (writer.version === 3) return writer.double(Number(value));
      return writer.bulkInteger(value);
    default:
      return writer.integer(value);
  }
}

function writeArray(writer: RespWriter, items: readonly OutcomeValue[], format: ReplyFormat): void {
  writer.arrayHeader(items.length);
  for (const item of items) {
    if (format === formatScanOfNothing && item.type === "array") writer.arrayHeader(0);
    else writeOutcome(writer, item, format);
  }
}

function writeDouble(writer: RespWriter, decimal: Uint8Array): void {
  if (writer.version === 2) return writer.bulk(decimal);
  let text = "";
  for (const byte of decimal) text += String.fromCharCode(byte);
  writer.double(Number(text));
}
