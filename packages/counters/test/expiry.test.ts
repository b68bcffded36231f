/** Expiry: the heap, and removal in log time at the start of records. */
import type { Lsn } from "@quipu/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ExpiryHeap } from "../src/expiry-heap.ts";
import { CounterMachine } from "../src/machine.ts";
import { Bench, bytes } from "./bench.ts";

/** Every two entries have equal ties, so that keys decide now and then. */
const order = {
  keyTie: (id: number): number => id >> 1,
  compareKeys: (left: number, right: number): number => left - right,
};

const never = { ifNone: false, ifSome: false, ifLater: false, ifEarlier: false };

test("the heap gives times in order, through changes and removals", () => {
  const step = fc.tuple(fc.nat(40), fc.option(fc.nat(100), { nil: -1 }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const heap = new ExpiryHeap(order);
      const model = new Map<number, number>();
      for (const [id, time] of steps) {
        if (time < 0) {
          heap.remove(id);
          model.delete(id);
        } else {
          heap.set(id, time);
          model.set(id, time);
        }
        expect(heap.timeOf(id)).toBe(model.get(id) ?? -1);
        expect(heap.size).toBe(model.size);
        expect(heap.nextMs).toBe(Math.min(Infinity, ...model.values()));
      }
      let last = -1;
      let lastId = -1;
      while (heap.size > 0) {
        const id = heap.nextId;
        expect(heap.nextMs).toBe(model.get(id));
        expect(heap.nextMs).toBeGreaterThanOrEqual(last);
        if (heap.nextMs === last) expect(id).toBeGreaterThan(lastId);
        last = heap.nextMs;
        lastId = id;
        heap.remove(id);
        model.delete(id);
      }
      expect(model.size).toBe(0);
    }),
    { numRuns: 200 },
  );
});

describe("keys", () => {
  const key = bytes("k");
  const set = (bench: Bench, ms: number): unknown =>
    bench.run({
      type: "set",
      database: 0,
      key,
      value: bytes("5"),
      condition: "always",
      returnPrevious: false,
      expiry: { type: "in", ms },
    });

  test("live until log time reaches their time, not by reading; then their slot's last removal is at index 0", () => {
    const bench = new Bench();
    expect(set(bench, 100)).toBe("OK");
    expect(bench.machine.nextDueMs).toBe(1_100);
    bench.tick(99);
    expect(bench.get("k")).toBe("5");
    expect(bench.read({ type: "timeToLive", database: 0, key, unit: "ms", absolute: false })).toBe("1");
    bench.tick(1);
    expect(bench.get("k")).toBe(null);
    expect(bench.read({ type: "versionOf", database: 0, key })).toBe("3-0");
    expect(bench.machine.statistics).toMatchObject({ keys: 0, keysWithExpiry: 0, expiredKeys: 1 });
    expect(bench.machine.nextDueMs).toBe(Infinity);
  });

  test("log time never goes back: an older stamp changes nothing", () => {
    const bench = new Bench();
    set(bench, 100);
    bench.tick(-500);
    expect(bench.machine.logTimeMs).toBe(1_000);
    bench.timeMs = 1_100;
    bench.tick(0);
    expect(bench.get("k")).toBe(null);
  });

  test("a time that is not after log time deletes at once", () => {
    const bench = new Bench();
    set(bench, 100);
    const expire = { type: "expire", database: 0, key, expiry: { type: "in", ms: 0 }, conditions: never } as const;
    expect(bench.run(expire)).toBe("1");
    expect(bench.get("k")).toBe(null);
    expect(bench.run(expire)).toBe("0");
    expect(set(bench, -1)).toBe("OK");
    expect(bench.get("k")).toBe(null);
  });

  test("an expiry out of range is refused and changes nothing", () => {
    const bench = new Bench();
    set(bench, 100);
    const before = bench.machine.stateHash();
    expect(set(bench, Number.MAX_SAFE_INTEGER)).toBe("INVALID_ARGUMENT");
    expect(bench.read({ type: "timeToLive", database: 0, key, unit: "ms", absolute: true })).toBe("1100");
    expect(bench.machine.stateHash()).not.toBe(before); // The writer's number went on …
    expect(bench.read({ type: "versionOf", database: 0, key })).toBe("1-1"); // … and nothing else.
  });

  test("conditions of EXPIRE: no expiry counts as infinitely late", () => {
    const bench = new Bench();
    const expire = (ms: number, conditions: Partial<typeof never>): unknown =>
      bench.run({
        type: "expire",
        database: 0,
        key,
        expiry: { type: "in", ms },
        conditions: { ...never, ...conditions },
      });
    bench.run({ type: "add", database: 0, key, delta: 1 });
    expect(expire(100, { ifSome: true })).toBe("0");
    expect(expire(100, { ifLater: true })).toBe("0");
    expect(expire(100, { ifEarlier: true })).toBe("1");
    expect(expire(50, { ifNone: true })).toBe("0");
    expect(expire(100, { ifLater: true })).toBe("0");
    expect(expire(150, { ifLater: true, ifSome: true })).toBe("1");
    expect(expire(150, { ifEarlier: true })).toBe("0");
    expect(bench.run({ type: "persist", database: 0, key })).toBe("1");
    expect(bench.run({ type: "persist", database: 0, key })).toBe("0");
    expect(expire(50, { ifNone: true })).toBe("1");
  });
});

describe("a storm", () => {
  const expiriesPerRecordMax = 10;

  /** Keys (short, long, of two databases), idempotency entries and sessions, due at few times. */
  function stormy(): Bench {
    const bench = new Bench({ expiriesPerRecordMax, seed: 1 });
    const expiry = { type: "at", ms: 2_000 } as const;
    for (let index = 0; index < 30; index++) {
      const key = bytes(`${"long ".repeat(index % 5)}key${index}`);
      const value = bytes("5");
      const database = index % 2;
      const set = { type: "set", database, key, value, condition: "always", returnPrevious: false } as const;
      bench.builder.command({ ...set, expiry: index % 3 === 0 ? { type: "at", ms: 1_990 } : expiry });
      bench.builder.onceAdd(key, 0, key.length, 1_000, null, 0, bytes("n"), 0, 1, 1);
      const operations = [{ type: "add", database: 0, key: bytes("n"), delta: 1 } as const];
      bench.builder.command({
        type: "session",
        session: key,
        expiresAtMs: 2_000,
        number: 1,
        lowestOpen: 0,
        operations,
      });
    }
    bench.applyAll();
    return bench;
  }

  test("goes in parts, the oldest first, and what is left stays due", () => {
    const bench = stormy();
    const left = (): number => {
      const { keysWithExpiry, sessions, idempotencyEntries } = bench.machine.statistics;
      return keysWithExpiry + sessions + idempotencyEntries;
    };
    expect(left()).toBe(90);
    bench.timeMs = 5_000;
    const dues: number[] = [];
    for (let before = 90; before > 0; before -= expiriesPerRecordMax) {
      expect(left()).toBe(before);
      dues.push(bench.machine.nextDueMs);
      bench.tick(0);
    }
    expect(dues).toEqual([1_990, ...Array<number>(8).fill(2_000)]);
    expect(left()).toBe(0);
    expect(bench.machine.nextDueMs).toBe(Infinity);
    expect(bench.machine.statistics.expiredKeys).toBe(30);
  });

  test("a key that is due and still there has no time to live, and goes with the next record", () => {
    const bench = new Bench({ expiriesPerRecordMax: 1 });
    const expiry = { type: "at", ms: 1_500 } as const;
    const set = { type: "set", database: 0, value: bytes("5"), condition: "always", returnPrevious: false } as const;
    for (const key of ["a", "b"]) bench.run({ ...set, key: bytes(key), expiry });
    bench.tick(501);
    const present = ["a", "b"].filter((key) => bench.get(key) !== null);
    expect(present).toHaveLength(1);
    const key = bytes(present[0] as string);
    expect(bench.read({ type: "timeToLive", database: 0, key, unit: "ms", absolute: false })).toBe("0");
    bench.tick(0);
    expect(bench.get(present[0] as string)).toBe(null);
  });

  test("a replica restored in its middle, whatever order its entries came in, takes the same parts", () => {
    const bench = stormy();
    const copies: CounterMachine[] = [];
    const restore = (seed: number): void => {
      const machine = new CounterMachine({ expiriesPerRecordMax, seed });
      const entries = [...bench.machine.snapshot()];
      if (seed % 2 === 0) entries.reverse();
      for (const { key, value } of entries) machine.loadEntry(key, value);
      machine.finishLoad("snapshot");
      copies.push(machine);
    };
    bench.timeMs = 5_000;
    for (let record = 0; record < 10; record++) {
      restore(record + 2);
      bench.builder.add(0, bytes("n"), 0, 1, 1);
      const encoded = bench.finish();
      bench.lsn++;
      bench.machine.apply(bench.lsn as Lsn, encoded);
      for (const machine of copies) {
        expect(machine.apply(bench.lsn as Lsn, encoded)).toBe("apply");
        expect(machine.stateHash()).toBe(bench.machine.stateHash());
        expect(machine.nextDueMs).toBe(bench.machine.nextDueMs);
      }
    }
    expect(bench.machine.statistics.keysWithExpiry).toBe(0);
  });
});
