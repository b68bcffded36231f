/**
 * The properties can see: every deliberate bug (mutation.ts) makes them fail, and without one they hold.
 *
 * One property in place of all of machine.property.test.ts: records against the model, faults of the log in between,
 * a restart from a snapshot half way.
 */
import { lsn } from "@quipu/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { CounterMachine, type MachineOptions } from "../src/machine.ts";
import type { CounterMutation } from "../src/mutation.ts";
import { epochMs, tameCommand, tameOnce, tameSession } from "./model/arbitraries.ts";
import { applyRecord, buildRecord, readsOfKeys, schedule, type Step, withPresentVersions } from "./model/harness.ts";
import { Model } from "./model/model.ts";
import { agrees, type Expected } from "./model/model-state.ts";

/** Many retries, so that they meet the entries of what they repeat. */
const commands = fc.oneof(
  { weight: 3, arbitrary: tameCommand },
  { weight: 1, arbitrary: tameOnce },
  { weight: 1, arbitrary: tameSession },
);

function holds(steps: readonly Step[], options: MachineOptions): boolean {
  let machine = new CounterMachine(options);
  const model = new Model();
  let stampMs = epochMs;
  let position = 0;
  for (const [at, step] of steps.entries()) {
    stampMs += step.afterMs;
    const wanted = withPresentVersions(step.commands, machine);
    const built = buildRecord(wanted, { number: at + 1, stampMs });
    const outcomes = applyRecord(machine, lsn(++position), built.record);
    if (typeof outcomes === "string") return false;
    const expected = model.apply(
      position,
      stampMs,
      built.order.map(({ command }) => command),
    );
    if (!outcomes.every((outcome, index) => agrees(expected[index] as Expected, outcome))) return false;
    if (machine.apply(lsn(++position), built.record) !== "duplicate") return false;
    if (machine.apply(lsn(++position), buildRecord(wanted, { number: at + 3, stampMs }).record) !== "void")
      return false;
    if (!readsOfKeys.every((read) => agrees(model.read(read), machine.read(read)))) return false;
    if (at % 3 !== 1) continue;
    const restored = new CounterMachine(options);
    for (const { key, value } of machine.snapshot()) restored.loadEntry(key, value);
    restored.finishLoad();
    machine = restored;
  }
  return true;
}

const check = (options: MachineOptions, numRuns: number): fc.RunDetails<[Step[]]> =>
  fc.check(
    fc.property(schedule(commands), (steps) => holds(steps, options)),
    { seed: 20_261_123, numRuns, endOnFailure: true },
  );

test("no mutation: the property holds", () => {
  expect(check({}, 120).failed).toBe(false);
});

/** Exhaustive: a new mutation does not compile until it is here. */
const mutations: Readonly<Record<CounterMutation, true>> = {
  "duplicate-record-applied": true,
  "fold-past-bound": true,
  "expired-session-reregistered": true,
  "once-entry-not-stored": true,
  "expire-lazily-on-read": true,
  "bounds-lost-on-set": true,
  "snapshot-without-sessions": true,
  "snapshot-without-idempotency": true,
  "writer-gap-accepted": true,
};

test.each(Object.keys(mutations) as CounterMutation[])("%s is caught", (mutation) => {
  expect(check({ mutation }, 500).failed).toBe(true);
});
