/**
 * What survives: snapshots, checkpoints, crashes, and a log with duplicates, gaps and hostile bytes.
 *
 * QUIPU_PROPERTY_RUNS=5000 looks longer. fast-check prints the seed and the smallest counterexample.
 */
import { type Lsn, lsn, QuipuError } from "@quipu/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CounterMachine } from "../src/machine.ts";
import type { OutcomeValue } from "../src/outcome.ts";
import { epochMs } from "./model/arbitraries.ts";
import { applyRecord, buildRecord, Feed, runs, schedule } from "./model/harness.ts";
import { type Action, MemoryStore, restoreFrom } from "./model/memory-store.ts";
import { showAll, shown, showReads, stamped, view } from "./model/views.ts";

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
          if (cut)
            entries[which % entries.length] = {
              key: chosen.key,
              value: chosen.value.slice(0, at % (chosen.value.length + 1)),
            };
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
    const record = (incarnation: number, number: number): Uint8Array =>
      buildRecord([], { number, stampMs: epochMs, incarnation }).record;
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
          expect(typeof again === "string" ? again : showAll(again)).toEqual(
            typeof outcomes === "string" ? outcomes : showAll(outcomes),
          );
          expect(right.stateHash()).toBe(left.stateHash());
        }
        expect(view(right)).toEqual(view(left));
        expect(restoreFrom(left.snapshot()).stateHash()).toBe(left.stateHash());
      }),
      runs(60),
    );
  });
});
