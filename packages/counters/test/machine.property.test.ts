/**
 * What commands do and answer: the machine against the naive model, batched and folded, and refused.
 *
 * QUIPU_PROPERTY_RUNS=5000 looks longer. fast-check prints the seed and the smallest counterexample.
 */
import { lsn } from "@quipu/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CounterMachine } from "../src/machine.ts";
import type { Operation } from "../src/operations.ts";
import type { OutcomeValue } from "../src/outcome.ts";
import { tameCommand, tameFlush, tameInt64, tameOnce, tameOperation, tameSession } from "./model/arbitraries.ts";
import {
  applyRecord,
  buildRecord,
  Feed,
  readsOfKeys,
  runs,
  schedule,
  type Step,
  withPresentVersions,
} from "./model/harness.ts";
import { Model } from "./model/model.ts";
import { type Expected, show } from "./model/model-state.ts";
import { compare, compareReads, showAll, shown, showReads, stamped, view, withoutPositions } from "./model/views.ts";

/** Feeds a machine and the model the same records, and compares every reply; `afterRecord` may look closer. */
function follow(steps: readonly Step[], afterRecord?: (model: Model, machine: CounterMachine) => void): void {
  const feed = new Feed();
  const model = new Model();
  for (const { stampMs, commands } of stamped(steps)) {
    const wanted = withPresentVersions(commands, feed.machine);
    const built = buildRecord(wanted, { number: ++feed.number, stampMs });
    const outcomes = feed.applyBuilt(built.record);
    // The model goes through the record as it is folded: replies are the same, and so are positions.
    const inOrder = built.order.map(({ command }) => command);
    const expected = model.apply(feed.position, stampMs, inOrder);
    expect(outcomes.length).toBe(expected.length);
    for (const [at, outcome] of outcomes.entries()) compare(inOrder[at], expected[at] as Expected, outcome);
    expect(feed.machine.logTimeMs).toBe(model.state.logTimeMs);
    afterRecord?.(model, feed.machine);
  }
  compareReads(model, feed.machine);
}

/** Adds and bounds on one key. */
const onOneKey: fc.Arbitrary<Operation> = fc
  .oneof<fc.WeightedArbitrary<object>[]>(
    { weight: 8, arbitrary: fc.record({ type: fc.constant("add"), delta: fc.constantFrom(1, -1, 2, -3) }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constant("add"), delta: tameInt64 }) },
    {
      weight: 2,
      arbitrary: fc.record({ type: fc.constant("bound"), minimum: tameInt64, maximum: tameInt64, force: fc.boolean() }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant("compareAndSet"),
        expected: fc.constant({ type: "value", value: 0 }),
        value: tameInt64,
      }),
    },
  )
  .map((operation) => ({ ...operation, database: 0, key: Uint8Array.of(97) }) as unknown as Operation);

describe("against the model", () => {
  test("replies and reads are the model's, record by record", () => {
    fc.assert(
      fc.property(schedule(), (steps) => {
        follow(steps, (model, machine) => compareReads(model, machine, readsOfKeys));
      }),
      runs(140),
    );
  });

  test("sessions and idempotency keys alone, so that they meet more often", () => {
    fc.assert(
      fc.property(schedule(fc.oneof(tameOnce, tameSession)), (steps) => follow(steps)),
      runs(90),
    );
  });

  test("flushes", () => {
    const command = fc.oneof({ weight: 1, arbitrary: tameFlush }, { weight: 6, arbitrary: tameCommand });
    fc.assert(
      fc.property(schedule(command), (steps) => follow(steps)),
      runs(10),
    );
  });

  test("bounds and adds on one key, runs long enough to meet the bounds", () => {
    const records = fc.array(fc.array(onOneKey, { maxLength: 30 }), { maxLength: 4 });
    fc.assert(
      fc.property(records, (all) => follow(all.map((commands) => ({ afterMs: 0, commands })))),
      runs(120),
    );
  });

  test("a scan over all cursors finds every key once, whatever its count", () => {
    fc.assert(
      fc.property(schedule(tameOperation), fc.integer({ min: 1, max: 5 }), (steps, count) => {
        const feed = new Feed();
        for (const { stampMs, commands } of stamped(steps)) feed.apply(commands, stampMs);
        for (const database of [0, 3]) {
          const found: string[] = [];
          let cursor = 0;
          let turns = 0;
          do {
            const page = feed.machine.read({ type: "scan", database, cursor, count, pattern: null });
            if (page.type !== "array" || page.items[0]?.type !== "integer" || page.items[1]?.type !== "array")
              throw new Error(show(page));
            found.push(...showAll(page.items[1].items));
            cursor = Number(page.items[0].value);
            expect(++turns).toBeLessThan(50);
          } while (cursor !== 0);
          const all = feed.machine.read({ type: "keys", database, pattern: Uint8Array.of(42) });
          if (all.type !== "array") throw new Error(show(all));
          expect(found.toSorted()).toEqual(showAll(all.items).toSorted());
        }
      }),
      runs(20),
    );
  });
});

/** Commands whose effect does not depend on positions. */
const positionless = tameCommand.filter((command) => {
  const operations =
    "operations" in command
      ? command.operations
      : command.type === "once" && "operations" in command.command
        ? command.command.operations
        : [command.type === "once" ? command.command : command];
  const watched =
    (command.type === "transaction" && command.watches.length > 0) ||
    (command.type === "once" && command.command.type === "transaction" && command.command.watches.length > 0);
  return (
    !watched &&
    operations.every((operation) => operation.type !== "compareAndSet" || operation.expected.type !== "version")
  );
});

describe("batching", () => {
  test("one record or many: the same replies and state", () => {
    fc.assert(
      fc.property(
        schedule(positionless),
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1 }),
        (steps, sizes) => {
          const whole = new Feed();
          const parts = new Feed();
          for (const { stampMs, commands } of stamped(steps)) {
            const together = whole.apply(commands, stampMs);
            const apart: OutcomeValue[] = [];
            for (let from = 0, turn = 0; from < commands.length; turn++) {
              const size = sizes[turn % sizes.length] as number;
              apart.push(...parts.apply(commands.slice(from, from + size), stampMs));
              from += size;
            }
            if (commands.length === 0) parts.apply([], stampMs);
            expect(withoutPositions(showAll(apart))).toEqual(withoutPositions(showAll(together)));
          }
          expect(withoutPositions(view(parts.machine))).toEqual(withoutPositions(view(whole.machine)));
        },
      ),
      runs(80),
    );
  });

  test("a folded record = the same record with each run written out: replies, positions and hash", () => {
    fc.assert(
      fc.property(schedule(), (steps) => {
        const folded = new Feed();
        const expanded = new Feed();
        for (const { stampMs, commands } of stamped(steps)) {
          const built = buildRecord(commands, { number: ++folded.number, stampMs });
          const inOrder = built.order.map(({ command }) => command);
          expect(showAll(expanded.apply(inOrder, stampMs, false))).toEqual(showAll(folded.applyBuilt(built.record)));
          expect(expanded.machine.stateHash()).toBe(folded.machine.stateHash());
        }
        expect(view(expanded.machine)).toEqual(view(folded.machine));
      }),
      runs(50),
    );
  });

  test("a folded batch = the unfolded one in its original order: replies and values", () => {
    fc.assert(
      fc.property(schedule(positionless), (steps) => {
        const folded = new Feed();
        const unfolded = new Feed();
        for (const { stampMs, commands } of stamped(steps)) {
          expect(withoutPositions(showAll(folded.apply(commands, stampMs)))).toEqual(
            withoutPositions(showAll(unfolded.apply(commands, stampMs, false))),
          );
        }
        expect(withoutPositions(view(folded.machine))).toEqual(withoutPositions(view(unfolded.machine)));
      }),
      runs(80),
    );
  });
});

describe("refusals", () => {
  /** So low that everything is refused now and then. */
  const limits = {
    keysMax: 3,
    storedBytesMax: 12,
    keyBytesMax: 3,
    valueBytesMax: 4,
    idempotencyEntriesMax: 2,
    sessionsMax: 1,
    sessionRepliesMax: 2,
  };
  /** Of the idempotency keys here. */
  const idBytesMax = 8;
  /** Under an idempotency key these refuse the request itself; any other error is an outcome, and is stored. */
  const refusesOnce = new Set(["OVERLOADED", "IDEMPOTENCY_MISMATCH", "IDEMPOTENCY_EXPIRED"]);

  test("a command that answers an error has changed nothing", () => {
    fc.assert(
      fc.property(schedule(), (steps) => {
        const machine = new CounterMachine(limits);
        const twin = new CounterMachine(limits);
        let number = 0;
        for (const { stampMs, commands } of stamped(steps)) {
          for (const command of withPresentVersions(commands, machine)) {
            number++;
            const [outcome] = applyRecord(machine, lsn(number), buildRecord([command], { number, stampMs }).record) as [
              OutcomeValue,
            ];
            const refused = outcome.type === "error" && (command.type !== "once" || refusesOnce.has(outcome.code));
            // The twin never hears of what was refused: it gets a record of nothing.
            twin.apply(lsn(number), buildRecord(refused ? [] : [command], { number, stampMs }).record);
            if (twin.stateHash() !== machine.stateHash()) expect.fail(`${shown(command)} answered ${show(outcome)}`);
          }
          expect(machine.statistics.keys).toBeLessThanOrEqual(limits.keysMax);
          expect(machine.statistics.storedBytes).toBeLessThanOrEqual(limits.storedBytesMax + idBytesMax);
          expect(machine.statistics.idempotencyEntries).toBeLessThanOrEqual(limits.idempotencyEntriesMax);
          expect(machine.statistics.sessions).toBeLessThanOrEqual(limits.sessionsMax);
        }
        expect(showReads(twin)).toEqual(showReads(machine));
      }),
      runs(40),
    );
  });
});
