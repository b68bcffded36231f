/** What the model keeps: plain maps, BigInt, copies. Written for the reader, not for speed. */
import { int64FromBigInt, int64Max, int64Min, int64Parse, type ErrorCode } from "@quipu/core";
import { keySlot } from "@quipu/routing";
import type { OutcomeValue } from "../../src/outcome.ts";
import { textOf } from "./arbitraries.ts";

/** Text is Latin-1: one character per byte. */
export type Value = bigint | string;

export interface Counter {
  readonly database: number;
  readonly key: string;
  readonly value: Value;
  readonly minimum: bigint | undefined;
  readonly maximum: bigint | undefined;
  readonly expiresAtMs: number | undefined;
  /** `lsn-index` of the last change. */
  readonly version: string;
}

/** An outcome, where the machine may answer in any order or with any of several keys. */
export type Expected =
  | Exclude<OutcomeValue, { readonly type: "array" }>
  | { readonly type: "array"; readonly items: readonly Expected[] }
  | { readonly type: "keysInAnyOrder"; readonly keys: readonly string[] }
  | { readonly type: "oneOfKeys"; readonly keys: readonly string[] };

export const ok: Expected = { type: "ok" };
export const nil: Expected = { type: "nil" };
export const error = (code: ErrorCode): Expected => ({ type: "error", code });
export const text = (value: string): Expected => ({ type: "bytes", value: latin1(value) });
export const array = (...items: Expected[]): Expected => ({ type: "array", items });

export function integer(value: bigint | number): Expected {
  const canonical = int64FromBigInt(BigInt(value));
  if (canonical === undefined) throw new Error(`model bug: ${value} is no int64`);
  return { type: "integer", value: canonical };
}

export const valueReply = (value: Value): Expected => (typeof value === "bigint" ? integer(value) : text(value));

export const latin1 = (value: string): Uint8Array => Uint8Array.from(value, (character) => character.charCodeAt(0));

/** Canonical decimal text of an int64 is an integer, whoever wrote it. */
export function valueOf(bytes: Uint8Array): Value {
  const value = int64Parse(bytes);
  return value === undefined ? textOf(bytes) : BigInt(value);
}

export const fits = (value: bigint): boolean => value >= int64Min && value <= int64Max;

export const slotOf = (key: string): number => {
  const bytes = latin1(key);
  return keySlot(bytes, 0, bytes.length);
};

/** Promise P5: a step may not leave the bounds, or lead further outside; towards them it may. */
export function refusal(counter: Counter | undefined, next: Value): ErrorCode | undefined {
  if (counter === undefined || (counter.minimum === undefined && counter.maximum === undefined)) return undefined;
  if (typeof next === "string") return "NOT_AN_INTEGER";
  if (typeof counter.value === "string") throw new Error("model bug: a bounded text");
  if (counter.maximum !== undefined && next > counter.maximum && next > counter.value) return "OUT_OF_BOUNDS";
  if (counter.minimum !== undefined && next < counter.minimum && next < counter.value) return "OUT_OF_BOUNDS";
  return undefined;
}

export class ModelState {
  readonly counters = new Map<string, Counter>();
  readonly removals = new Map<number, string>();
  everySlotRemoval = "0-0";
  logTimeMs = 0;
  /** `lsn-index` of the operation being applied. */
  position = "0-0";

  get(database: number, key: string): Counter | undefined {
    return this.counters.get(`${database}/${key}`);
  }

  in(database: number): Counter[] {
    return [...this.counters.values()].filter((counter) => counter.database === database);
  }

  /** Writes a value: bounds stay, the expiry as given (undefined: none), the version is here. */
  put(database: number, key: string, value: Value, expiresAtMs: number | undefined): void {
    const old = this.get(database, key);
    this.change(database, key, { value, expiresAtMs, minimum: old?.minimum, maximum: old?.maximum });
  }

  change(database: number, key: string, content: Omit<Counter, "database" | "key" | "version">): void {
    this.counters.set(`${database}/${key}`, { database, key, ...content, version: this.position });
    // A counter given a time that has come is gone at once.
    if (content.expiresAtMs !== undefined && content.expiresAtMs <= this.logTimeMs) this.remove(database, key);
  }

  remove(database: number, key: string): boolean {
    const existed = this.counters.delete(`${database}/${key}`);
    if (existed) this.removals.set(slotOf(key), this.position);
    return existed;
  }

  removeAll(database: number | null): void {
    for (const counter of [...this.counters.values()]) {
      if (database === null || counter.database === database) this.remove(counter.database, counter.key);
    }
    this.removals.clear();
    this.everySlotRemoval = this.position;
  }

  version(database: number, key: string): string {
    return this.get(database, key)?.version ?? this.removals.get(slotOf(key)) ?? this.everySlotRemoval;
  }
}

/** Does the machine's outcome agree with what the model expects? */
export function agrees(expected: Expected, actual: OutcomeValue): boolean {
  switch (expected.type) {
    case "array":
      return (
        actual.type === "array" &&
        actual.items.length === expected.items.length &&
        expected.items.every((item, index) => agrees(item, actual.items[index] as OutcomeValue))
      );
    case "keysInAnyOrder":
      return (
        actual.type === "array" &&
        show({ type: "array", items: sorted(expected.keys.map(text)) }) ===
          show({ type: "array", items: sorted(actual.items) })
      );
    case "oneOfKeys":
      return actual.type === "bytes" && expected.keys.includes(textOf(actual.value));
    default:
      return show(expected) === show(actual);
  }
}

const sorted = (items: readonly Expected[]): Expected[] => items.toSorted((a, b) => (show(a) < show(b) ? -1 : 1));

/** One line for people, and for comparison. */
export function show(outcome: Expected): string {
  switch (outcome.type) {
    case "integer":
      return `:${outcome.value}`;
    case "bytes":
      return JSON.stringify(textOf(outcome.value));
    case "error":
      return `-${outcome.code}`;
    case "array":
      return `[${outcome.items.map(show).join(" ")}]`;
    case "keysInAnyOrder":
      return `{${outcome.keys.join(" ")}}`;
    case "oneOfKeys":
      return `one of ${outcome.keys.join(" ")}`;
    default:
      return outcome.type;
  }
}
