/**
 * Properties of the state machine, against the naive model and against itself.
 *
 * QUIPU_PROPERTY_RUNS=5000 looks longer. fast-check prints the seed and the smallest counterexample.
 */
import { type Lsn, lsn, QuipuError } from "@quipu/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CounterMachine } from "../src/machine.ts";
import type { Command, Operation, ReadOperation } from "../src/operations.ts";
import type { OutcomeValue } from "../src/outcome.ts";
import { epochMs, tameCommand, tameFlush, tameInt64, tameOnce, tameOperation, tameSession } from "./model/arbitraries.ts";
import { applyRecord, buildRecord, everyRead, Feed, readsOfKeys, runs, schedule, type Step, withPresentVersions } from "./model/harness.ts";
import { type Action, MemoryStore, restoreFrom } from "./model/memory-store.ts";
import { Model } from "./model/model.ts";
import { agrees, type Expected, show } from "./model/model-state.ts";

/** Absolute stamps of a schedule. */
function stamped(steps: readonly Step[]): { readonly stampMs: number; readonly commands: readonly Command[] }[] {
  let stampMs = epochMs;
  return steps.map(({ afterMs, commands }) => ({ stampMs: (stampMs += afterMs), commands }));
}

const showAll = (outcomes: readonly Expected[]): string[] => outcomes.map(show);

/** Everything that a client can see. */
const view = (machine: CounterMachine): string[] => everyRead.map((read) => show(machine.read(read)));

const showReads = (machine: CounterMachine): string[] => readsOfKeys.map((read) => show(machine.read(read)));

/** The same without positions, which tell how operations were batched. */
const withoutPositions = (lines: readonly string[]): string[] => lines.map((line) => line.replace(/"\d+-\d+"/g, "POSITION"));

function compare(what: unknown, expected: Expected, actual: OutcomeValue): void {
  if (!agrees(expected, actual)) expect.fail(`${shown(what)}: model ${show(expected)}, machine ${show(actual)}`);
}

function compareReads(model: Model, machine: CounterMachine, reads: readonly ReadOperation[] = everyRead): void {
  for (const read of reads) compare(read, model.read(read), machine.read(read));
}

const shown = (value: unknown): string =>
  JSON.stringify(value, (_, item: unknown) => (typeof item === "bigint" ? `${item}n` : item instanceof Uint8Array ? String.fromCharCode(...item) : item));

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
    { weight: 2, arbitrary: fc.record({ type: fc.constant("bound"), minimum: tameInt64, maximum: tameInt64, force: fc.boolean() }) },
    {
      weight: 1,
      arbitrary: fc.record({ type: fc.constant("compareAndSet"), expected: fc.constant({ type: "value", value: 0 }), value: tameInt64 }),
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
            if (page.type !== "array" || page.items[0]?.type !== "integer" || page.items[1]?.type !== "array") throw new Error(show(page));
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
  const operations = "operations" in command ? command.operations : command.type === "once" && "operations" in command.command ? command.command.operations : [command.type === "once" ? command.command : command];
  const watched = (command.type === "transaction" && command.watches.length > 0) || (command.type === "once" && command.command.type === "transaction" && command.command.watches.length > 0);
  return !watched && operations.every((operation) => operation.type !== "compareAndSet" || operation.expected.type !== "version");
});

describe("batching", () => {
  test("one record or many: the same replies and state", () => {
    fc.assert(
      fc.property(schedule(positionless), fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1 }), (steps, sizes) => {
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
      }),
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

describe("snapshot and checkpoint", () => {
  test("snapshot + suffix = replay of everything: hash, reads, replies; and the snapshot comes back as it was", () => {
    fc.assert(
      fc.property(schedule(), fc.nat(8), (steps, cut) => {
        const feed = new Feed();
        let restored: Feed | undefined;
        for (const [at, { stampMs, commands }] of stamped(steps).entries()) {
          if (at === cut % steps.length) {
            const entries = [...feed.machine.snapshot()];
            restored = new Feed(restoreFrom(entries));
            restored.number = feed.number;
            restored.position = feed.position;
            expect(restored.machine.stateHash()).toBe(feed.machine.stateHash());
            expect(shown([...restored.machine.snapshot()])).toBe(shown(entries));
          }
          const outcomes = feed.apply(commands, stampMs);
          if (restored === undefined) continue;
          expect(showAll(restored.apply(commands, stampMs))).toEqual(showAll(outcomes));
          expect(restored.machine.stateHash()).toBe(feed.machine.stateHash());
        }
        if (restored === undefined) throw new Error("never restored");
        expect(restored.machine.appliedLsn).toBe(feed.machine.appliedLsn);
        expect(restored.machine.logTimeMs).toBe(feed.machine.logTimeMs);
        expect(restored.machine.nextDueMs).toBe(feed.machine.nextDueMs);
        expect(view(restored.machine)).toEqual(view(feed.machine));
      }),
      runs(40),
    );
  });

  test("checkpoints written while records go on, some given up, some before a crash: store + suffix = everything", () => {
    const action = fc.constantFrom<Action>("freeze", "slice", "slice", "finish", "give up", "fail", "crash", "nothing");
    const turns = fc.array(fc.tuple(action, action, fc.integer({ min: 1, max: 3 })), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(schedule(), turns, (steps, actions) => {
        const whole = new Feed();
        const store = new MemoryStore();
        const log: { readonly position: Lsn; readonly record: Uint8Array }[] = [];
        let machine = new CounterMachine();
        const act = (what: Action, count: number): void => {
          store.act(machine, what, count);
          if (what !== "crash") return;
          machine = restoreFrom(store.entries());
          expect(machine.appliedLsn).toBe(store.position);
          expect(machine.dirtyCount).toBe(0);
          for (const { position, record } of log) if (position > store.position) machine.apply(position, record);
          expect(machine.stateHash()).toBe(whole.machine.stateHash());
        };
        for (const [at, { stampMs, commands }] of stamped(steps).entries()) {
          const [before, after, count] = actions[at % actions.length] as (typeof actions)[number];
          act(before, count);
          const { record } = buildRecord(commands, { number: ++whole.number, stampMs });
          const outcomes = whole.applyBuilt(record);
          expect(showAll(applyRecord(machine, whole.position, record) as OutcomeValue[])).toEqual(showAll(outcomes));
          log.push({ position: whole.position, record });
          act(after, count);
        }
        act("crash", 1);
        act("freeze", 1);
        act("finish", 2);
        expect(store.position).toBe(whole.machine.appliedLsn);
        // What was written piece by piece is what one snapshot holds: nothing more, nothing less.
        expect(shown(store.entries())).toBe(shown([...whole.machine.snapshot()]));
        expect(view(machine)).toEqual(view(whole.machine));
      }),
      runs(60),
    );
  });

  test("a snapshot from elsewhere is all dirty: its first checkpoint writes everything", () => {
    fc.assert(
      fc.property(schedule(), (steps) => {
        const feed = new Feed();
        for (const { stampMs, commands } of stamped(steps)) feed.apply(commands, stampMs);
        const machine = restoreFrom(feed.machine.snapshot(), "snapshot");
        const store = new MemoryStore();
        store.act(machine, "freeze", 1);
        store.act(machine, "finish", 3);
        expect(shown(store.entries())).toBe(shown([...feed.machine.snapshot()]));
      }),
      runs(12),
    );
  });

  test("entries that do not decode are refused as STORE_CORRUPT, and nothing else is thrown", () => {
    const change = fc.record({ at: fc.nat(), to: fc.nat(255), inKey: fc.boolean(), cut: fc.boolean() });
    fc.assert(
      fc.property(schedule(), fc.array(change, { minLength: 1, maxLength: 3 }), fc.nat(), (steps, changes, which) => {
        const feed = new Feed();
        for (const { stampMs, commands } of stamped(steps)) feed.apply(commands, stampMs);
        const entries = [...feed.machine.snapshot()];
        const chosen = entries[which % entries.length] as (typeof entries)[number];
        for (const { at, to, inKey, cut } of changes) {
          const bytes = inKey ? chosen.key : chosen.value;
          if (cut) entries[which % entries.length] = { key: chosen.key, value: chosen.value.slice(0, at % (chosen.value.length + 1)) };
          else if (bytes.length > 0) bytes[at % bytes.length] = to;
        }
        try {
          restoreFrom(entries).stateHash();
        } catch (error) {
          if (!(error instanceof QuipuError)) throw error;
          expect(error.code).toBe("STORE_CORRUPT");
        }
      }),
      runs(50),
    );
  });
});

describe("the log's faults", () => {
  test("duplicates and gaps never change the state", () => {
    const fault = fc.constantFrom("duplicate", "gap", "older life", "broken header");
    fc.assert(
      fc.property(schedule(), fc.array(fault, { minLength: 1, maxLength: 8 }), (steps, faults) => {
        const clean = new CounterMachine();
        const faulty = new CounterMachine();
        const all: Uint8Array[] = [];
        for (const [at, { stampMs, commands }] of stamped(steps).entries()) {
          const number = at + 1;
          const { record } = buildRecord(commands, { number, stampMs, incarnation: 4 });
          expect(clean.apply(lsn(number * 100), record)).toBe("apply");
          expect(faulty.apply(lsn(number * 100), record)).toBe("apply");
          all.push(record);
          let position = number * 100;
          const next = (): Lsn => lsn(++position);
          const built = (id: { readonly number: number; readonly incarnation: number }): Uint8Array =>
            buildRecord(commands, { ...id, stampMs: stampMs + 9 }).record;
          const before = faulty.stateHash();
          const readsBefore = showReads(faulty);
          switch (faults[at % faults.length]) {
            case "duplicate":
              for (const old of all) expect(faulty.apply(next(), old)).toBe("duplicate");
              break;
            case "gap":
              expect(faulty.apply(next(), built({ number: number + 2, incarnation: 4 }))).toBe("void");
              expect(faulty.apply(next(), built({ number: 2, incarnation: 5 }))).toBe("void");
              break;
            case "older life":
              for (const older of [1, number, number + 1]) {
                expect(faulty.apply(next(), built({ number: older, incarnation: 3 }))).toBe("void");
              }
              break;
            default:
              for (const broken of [record.slice(0, 31), record.with(0, 9), record.with(1, 1), new Uint8Array(0)]) {
                expect(faulty.apply(next(), broken)).toBe("void");
              }
          }
          expect(faulty.stateHash()).toBe(before);
          expect(showReads(faulty)).toEqual(readsBefore);
        }
        expect(faulty.stateHash()).toBe(clean.stateHash());
        expect(faulty.lastNumber(7, 4)).toBe(steps.length);
      }),
      runs(40),
    );
  });

  test("a new life voids the records of the old one and begins at 1", () => {
    const machine = new CounterMachine();
    const record = (incarnation: number, number: number): Uint8Array => buildRecord([], { number, stampMs: epochMs, incarnation }).record;
    expect(machine.apply(lsn(1), record(1, 1))).toBe("apply");
    expect(machine.apply(lsn(2), record(3, 2))).toBe("void");
    expect(machine.apply(lsn(3), record(3, 1))).toBe("apply");
    expect(machine.apply(lsn(4), record(1, 2))).toBe("void");
    expect(machine.apply(lsn(5), record(3, 2))).toBe("apply");
    expect([machine.lastNumber(7, 1), machine.lastNumber(7, 3), machine.lastNumber(8, 1)]).toEqual([0, 2, 0]);
  });

  test("hostile bytes never throw, and give two machines the same outcomes and hash", () => {
    const damage = fc.array(fc.record({ at: fc.nat(), to: fc.nat(255), cut: fc.boolean() }), { maxLength: 6 });
    fc.assert(
      fc.property(schedule(), fc.array(damage, { minLength: 1, maxLength: 8 }), (steps, damages) => {
        const left = new CounterMachine();
        const right = new CounterMachine();
        let number = 1;
        for (const [at, { stampMs, commands }] of stamped(steps).entries()) {
          let { record } = buildRecord(commands, { number, stampMs });
          for (const { at: where, to, cut } of damages[at % damages.length] ?? []) {
            const place = 28 + (where % (record.length - 28)); // The command count, and what follows it.
            if (!cut) record[place] = to;
            else if (where % 7 === 0) record = record.slice(0, Math.max(place, 32));
          }
          const position = lsn(at + 1);
          const before = record.slice();
          const outcomes = applyRecord(left, position, record);
          if (typeof outcomes !== "string") number++;
          expect(record).toEqual(before);
          const again = applyRecord(right, position, record.slice());
          expect(typeof again === "string" ? again : showAll(again)).toEqual(typeof outcomes === "string" ? outcomes : showAll(outcomes));
          expect(right.stateHash()).toBe(left.stateHash());
        }
        expect(view(right)).toEqual(view(left));
        expect(restoreFrom(left.snapshot()).stateHash()).toBe(left.stateHash());
      }),
      runs(60),
    );
  });
});
