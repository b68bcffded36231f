/** Frozen changes and snapshots: what is written is the state at the freeze, whatever is applied meanwhile. */
import { QuipuError } from "@quipu/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CounterMachine } from "../src/machine.ts";
import { Bench, bytes } from "./bench.ts";

/** A store as a map from hexadecimal keys. */
class Store {
  readonly entries: Map<string, Uint8Array> = new Map();

  put(key: Uint8Array, value: Uint8Array): void {
    this.entries.set(Buffer.from(key).toString("hex"), value.slice());
  }

  delete(key: Uint8Array): void {
    this.entries.delete(Buffer.from(key).toString("hex"));
  }

  load(): CounterMachine {
    const machine = new CounterMachine({ seed: 99 });
    for (const [key, value] of this.entries) machine.loadEntry(Buffer.from(key, "hex"), value);
    machine.finishLoad();
    return machine;
  }
}

function snapshotOf(machine: CounterMachine): string[] {
  return [...machine.snapshot()].map(({ key, value }) => Buffer.concat([key, value]).toString("hex"));
}

/** One change of some kind to one of few keys. */
function change(bench: Bench, kind: number, which: number): void {
  const key = bytes(`key${which}`);
  const { builder } = bench;
  const expiry = { type: "in", ms: 20 } as const;
  const value = bytes(which % 2 === 0 ? "text" : "18014398509481984");
  if (kind === 0) builder.add(0, key, 0, key.length, 1);
  else if (kind === 1) builder.command({ type: "delete", database: 0, keys: [key] });
  else if (kind === 2)
    builder.command({ type: "set", database: 0, key, value, condition: "always", returnPrevious: false, expiry });
  else if (kind === 3) builder.onceAdd(key, 0, key.length, 30, null, 0, key, 0, key.length, 1);
  else if (kind === 4)
    builder.command({ type: "bound", database: 0, key, minimum: 0, maximum: 2n ** 60n, force: true });
  else if (kind === 5) {
    const operations = [{ type: "add", database: 0, key, delta: 1 } as const];
    builder.command({
      type: "session",
      session: key,
      expiresAtMs: bench.timeMs + 40,
      number: 1,
      lowestOpen: 0,
      operations,
    });
  } else bench.timeMs += 10;
  bench.applyAll();
}

const step = fc.tuple(fc.integer({ min: 0, max: 6 }), fc.nat(5));

describe("frozen changes", () => {
  test("the store holds the state of the last freeze written, though changes went on, and given-up ones come again", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.array(step, { maxLength: 12 }), fc.nat(8), fc.nat(3)), { maxLength: 8 }),
        (rounds) => {
          const bench = new Bench();
          const store = new Store();
          for (const [steps, slices, fate] of rounds) {
            steps.slice(0, 6).forEach(([kind, which]) => change(bench, kind, which));
            const expected = snapshotOf(bench.machine);
            const hash = bench.machine.stateHash();
            const frozen = bench.machine.freezeChanges();
            const staged = new Store();
            for (const [key, value] of store.entries) staged.entries.set(key, value);
            for (let slice = 0; slice < slices; slice++) {
              frozen.next(1, staged);
              const during = steps[6 + slice];
              if (during !== undefined) change(bench, during[0], during[1]);
            }
            if (fate === 0) {
              frozen.release(false);
              continue;
            }
            while (frozen.next(3, staged)) if (steps[0] !== undefined) change(bench, 0, steps[0][1]);
            frozen.release();
            store.entries.clear();
            for (const [key, value] of staged.entries) store.entries.set(key, value);
            const loaded = store.load();
            expect(snapshotOf(loaded)).toEqual(expected);
            expect(loaded.stateHash()).toBe(hash);
            expect(loaded.appliedLsn).toBe(frozen.position);
            expect(loaded.dirtyCount).toBe(0);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test("a key touched 10,000 times is one entry; a key that came and went is none", () => {
    const bench = new Bench();
    const store = new Store();
    for (let index = 0; index < 10_000; index++) bench.builder.add(0, bytes("hot"), 0, 3, index % 2);
    change(bench, 0, 1);
    change(bench, 1, 1);
    const frozen = bench.machine.freezeChanges();
    expect(frozen.next(1_000, store)).toBe(false);
    frozen.release();
    const prefixes = [...store.entries.keys()].map((key) => Buffer.from(key.slice(0, 2), "hex").toString());
    expect(prefixes.sort()).toEqual(["c", "m", "r", "w"]);
  });

  test("an unfinished freeze that is released counts as given up", () => {
    const bench = new Bench();
    change(bench, 0, 1);
    change(bench, 0, 2);
    const frozen = bench.machine.freezeChanges();
    expect(frozen.next(1, new Store())).toBe(true);
    expect(bench.machine.dirtyCount).toBe(0);
    frozen.release();
    expect(bench.machine.dirtyCount).toBe(2);
  });
});

describe("loading", () => {
  const entries = (): { key: Uint8Array; value: Uint8Array }[] => {
    const bench = new Bench();
    for (let kind = 0; kind < 6; kind++) change(bench, kind, kind);
    change(bench, 0, 3);
    change(bench, 1, 3);
    return [...bench.machine.snapshot()];
  };

  test("an entry that does not decode is reported as corrupt, never skipped", () => {
    for (const { key, value } of entries()) {
      for (const broken of [value.subarray(0, value.length - 1), new Uint8Array([...value, 0])]) {
        const machine = new CounterMachine();
        expect(() => machine.loadEntry(key, broken)).toThrow(QuipuError);
      }
    }
    const machine = new CounterMachine();
    expect(() => machine.loadEntry(bytes("?"), new Uint8Array(0))).toThrow(QuipuError);
  });

  test("entries without a position are no state", () => {
    const machine = new CounterMachine();
    for (const { key, value } of entries()) if (key[0] !== 0x6d) machine.loadEntry(key, value);
    expect(() => machine.finishLoad()).toThrow(/position/);
  });

  test("what came from elsewhere is dirty, what came from the own store is not", () => {
    for (const from of ["store", "snapshot"] as const) {
      const machine = new CounterMachine();
      for (const { key, value } of entries()) machine.loadEntry(key, value);
      machine.finishLoad(from);
      expect(machine.dirtyCount > 0).toBe(from === "snapshot");
    }
  });
});
