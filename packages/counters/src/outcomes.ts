/** Making outcomes. Those that carry nothing of their own are shared objects. */
import type { ErrorCode, Int64 } from "@quipu/core";
import type { OutcomeValue } from "./outcome.ts";

export const ok: OutcomeValue = { type: "ok" };
export const nil: OutcomeValue = { type: "nil" };
export const zero: OutcomeValue = { type: "integer", value: 0 };
export const one: OutcomeValue = { type: "integer", value: 1 };

export function integer(value: Int64): OutcomeValue {
  return { type: "integer", value };
}

export function failure(code: ErrorCode): OutcomeValue {
  return { type: "error", code };
}

export function array(items: readonly OutcomeValue[]): OutcomeValue {
  return { type: "array", items };
}

export function valueOutcome(value: Int64 | Uint8Array): OutcomeValue {
  return typeof value === "object" ? { type: "bytes", value } : { type: "integer", value };
}

export function bytes(value: Uint8Array): OutcomeValue {
  return { type: "bytes", value };
}

/** About what an outcome takes where it is kept: byte strings, and a little for every item. */
export function outcomeBytes(outcome: OutcomeValue): number {
  if (outcome.type === "bytes") return itemBytes + outcome.value.length;
  if (outcome.type !== "array") return itemBytes;
  return outcome.items.reduce((sum, item) => sum + outcomeBytes(item), itemBytes);
}

/** Longest encoding of an integer, with its tag. */
export const itemBytes = 10;

/** An outcome of ASCII text. */
export function textOutcome(text: string): OutcomeValue {
  const value = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) value[at] = text.charCodeAt(at);
  return { type: "bytes", value };
}
