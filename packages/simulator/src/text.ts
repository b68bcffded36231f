/** Commands and outcomes as canonical text: what the model computes with, compares and prints. */
import { unreachable } from "@quipu/core";
import type { Command, OutcomeValue, ReadOperation } from "@quipu/counters";

/** Bytes as text, one character per byte: the workload's keys and values are short ASCII. */
export function textOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

export function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** The same text for the same command, whatever objects it is made of. Its identity in the ledger. */
export function commandText(command: Command | ReadOperation): string {
  return JSON.stringify(command, (_, value: unknown) => {
    if (value instanceof Uint8Array) return textOf(value);
    return typeof value === "bigint" ? `${value}` : value;
  });
}

/** The text of an add, as {@link commandText} would give it, without its objects. */
export function addText(database: number, key: string, delta: number | bigint): string {
  return commandText({ type: "add", database, key: bytesOf(key), delta });
}

export function outcomeText(outcome: OutcomeValue): string {
  switch (outcome.type) {
    case "ok":
    case "nil":
      return outcome.type;
    case "integer":
      return `i:${outcome.value}`;
    case "bytes":
      return `b:${textOf(outcome.value)}`;
    case "error":
      return `e:${outcome.code}`;
    case "array":
      return `[${outcome.items.map(outcomeText).join(",")}]`;
    default:
      return unreachable(outcome);
  }
}
