/** Reading the arguments of a command: numbers, keywords, keys and expiries, refused in Redis' words. */
import { type Int64, int64Parse } from "@quipu/core";
import type { ExpiryChange } from "@quipu/counters";
import { expiryMsMax, keyBytesMax, valueBytesMax } from "./limits.ts";
import { notAnIntegerText, Refusal, syntaxError } from "./refusal.ts";

/** A command as its words; the first is its name. The bytes stay as they are for as long as the command lives. */
export type CommandArguments = readonly Uint8Array[];

const decoder = new TextDecoder();

export function textAt(args: CommandArguments, index: number): string {
  return decoder.decode(args[index]);
}

/** An option name, for comparing. */
export function keywordAt(args: CommandArguments, index: number): string {
  return textAt(args, index).toUpperCase();
}

export function int64At(args: CommandArguments, index: number, refusal: string = notAnIntegerText): Int64 {
  const bytes = args[index];
  const value = bytes === undefined ? undefined : int64Parse(bytes);
  if (value === undefined) throw new Refusal(refusal);
  return value;
}

/** An integer that a double holds exactly; a larger one is refused with the same words. */
export function integerAt(args: CommandArguments, index: number, refusal: string = notAnIntegerText): number {
  const value = int64At(args, index, refusal);
  if (typeof value === "bigint") throw new Refusal(refusal);
  return value;
}

export function keyAt(args: CommandArguments, index: number): Uint8Array {
  const key = args[index] as Uint8Array;
  if (key.length > keyBytesMax) throw new Refusal(`ERR the key is longer than ${keyBytesMax} bytes`);
  return key;
}

export function valueAt(args: CommandArguments, index: number): Uint8Array {
  const value = args[index] as Uint8Array;
  if (value.length > valueBytesMax) throw new Refusal(`ERR the value is longer than ${valueBytesMax} bytes`);
  return value;
}

/** All arguments from `from` on, as keys. */
export function keysFrom(args: CommandArguments, from: number): readonly Uint8Array[] {
  return args.slice(from).map((_, offset) => keyAt(args, from + offset));
}

export const expiryCleared: ExpiryChange = { type: "clear" };
export const expiryKept: ExpiryChange = { type: "keep" };

export type ExpiryUnit = "EX" | "PX" | "EXAT" | "PXAT";

export function isExpiryUnit(keyword: string): keyword is ExpiryUnit {
  return keyword === "EX" || keyword === "PX" || keyword === "EXAT" || keyword === "PXAT";
}

/** The expiry of SET, SETEX, GETEX, INCREX: it must lie ahead. */
export function expiryAt(args: CommandArguments, index: number, unit: ExpiryUnit, command: string): ExpiryChange {
  const expiry = anyExpiryAt(args, index, unit, command);
  if (expiry.ms <= 0) throw invalidExpiry(command);
  return expiry;
}

/** The expiry of EXPIRE and its kin: one that has passed deletes the key. */
export function anyExpiryAt(
  args: CommandArguments,
  index: number,
  unit: ExpiryUnit,
  command: string,
): Extract<ExpiryChange, { readonly ms: number }> {
  const scale = unit === "EX" || unit === "EXAT" ? 1000 : 1;
  const ms = Number(int64At(args, index)) * scale;
  if (Math.abs(ms) > expiryMsMax) throw invalidExpiry(command);
  return unit === "EX" || unit === "PX" ? { type: "in", ms } : { type: "at", ms };
}

function invalidExpiry(command: string): Refusal {
  return new Refusal(`ERR invalid expire time in '${command}' command`);
}

/** The argument of an option: `index` is that of the option. */
export function requireOptionValue(args: CommandArguments, index: number): number {
  if (index + 1 >= args.length) throw syntaxError();
  return index + 1;
}

/** Whether two words are the same, letters in either case; `word` is lower case. */
export function isWord(bytes: Uint8Array, word: string): boolean {
  if (bytes.length !== word.length) return false;
  for (let index = 0; index < word.length; index++) {
    let byte = bytes[index] as number;
    if (byte >= 65 && byte <= 90) byte |= 0x20;
    if (byte !== word.charCodeAt(index)) return false;
  }
  return true;
}
