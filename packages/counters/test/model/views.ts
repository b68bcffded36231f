/** What property tests look at: schedules in absolute time, everything a client can see, and comparisons that explain. */
import type { Command, ReadOperation } from "../../src/operations.ts";
import type { CounterMachine } from "../../src/machine.ts";
import type { OutcomeValue } from "../../src/outcome.ts";
import { expect } from "vitest";
import { epochMs } from "./arbitraries.ts";
import { everyRead, readsOfKeys, type Step } from "./harness.ts";
import type { Model } from "./model.ts";
import { agrees, type Expected, show } from "./model-state.ts";

/** Absolute stamps of a schedule. */
export function stamped(steps: readonly Step[]): { readonly stampMs: number; readonly commands: readonly Command[] }[] {
  let stampMs = epochMs;
  return steps.map(({ afterMs, commands }) => ({ stampMs: (stampMs += afterMs), commands }));
}

export const showAll = (outcomes: readonly Expected[]): string[] => outcomes.map(show);

/** Everything that a client can see. */
export const view = (machine: CounterMachine): string[] => everyRead.map((read) => show(machine.read(read)));

export const showReads = (machine: CounterMachine): string[] => readsOfKeys.map((read) => show(machine.read(read)));

/** The same without positions, which tell how operations were batched. */
export const withoutPositions = (lines: readonly string[]): string[] =>
  lines.map((line) => line.replace(/"\d+-\d+"/g, "POSITION"));

export function compare(what: unknown, expected: Expected, actual: OutcomeValue): void {
  if (!agrees(expected, actual)) expect.fail(`${shown(what)}: model ${show(expected)}, machine ${show(actual)}`);
}

export function compareReads(model: Model, machine: CounterMachine, reads: readonly ReadOperation[] = everyRead): void {
  for (const read of reads) compare(read, model.read(read), machine.read(read));
}

export const shown = (value: unknown): string =>
  JSON.stringify(value, (_, item: unknown) =>
    typeof item === "bigint" ? `${item}n` : item instanceof Uint8Array ? String.fromCharCode(...item) : item,
  );
