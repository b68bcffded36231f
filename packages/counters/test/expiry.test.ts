/** Expiry: the heap, and removal in log time at the start of records. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ExpiryHeap } from "../src/expiry-heap.ts";
import { Bench, bytes } from "./bench.ts";

const never = { ifNone: false, ifSome: false, ifLater: false, ifEarlier: false };

test("the heap gives times in order, through changes and removals", () => {
  const step = fc.tuple(fc.nat(40), fc.option(fc.nat(100), { nil: -1 }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const heap = new ExpiryHeap();
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
      while (heap.size > 0) {
        const id = heap.nextId;
        expect(heap.nextMs).toBe(model.get(id));
        expect(heap.nextMs).toBeGreaterThanOrEqual(last);
        last = heap.nextMs;
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
