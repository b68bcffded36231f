/** The limit of all bytes stored (promise P9): what would add to them is refused whole, what frees them never is. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { CounterMachine } from "../src/machine.ts";
import type { Operation } from "../src/operations.ts";
import { Bench, bytes, type Plain } from "./bench.ts";

const clear = { type: "clear" } as const;
const set = (key: string, value: string): Operation => ({
  type: "set",
  database: 0,
  key: bytes(key),
  value: bytes(value),
  condition: "always",
  returnPrevious: false,
  expiry: clear,
});
const add = (key: string): Operation => ({ type: "add", database: 0, key: bytes(key), delta: 1 });
const remove = (key: string): Operation => ({ type: "delete", database: 0, keys: [bytes(key)] });
const setMany = (...pairs: (readonly [string, string])[]): Operation => ({
  type: "setMany",
  database: 0,
  pairs: pairs.map(([key, value]) => ({ key: bytes(key), value: bytes(value) })),
  ifNoneExists: false,
});
const once = (bench: Bench, id: string, command: Operation): Plain =>
  bench.run({ type: "once", id: bytes(id), retentionMs: 100, bornAtMs: null, command });
const stored = (bench: Bench): number => bench.machine.statistics.storedBytes;

function restored(machine: CounterMachine, storedBytesMax: number): CounterMachine {
  const copy = new CounterMachine({ storedBytesMax, seed: 7 });
  for (const { key, value } of machine.snapshot()) copy.loadEntry(key, value);
  copy.finishLoad("snapshot");
  return copy;
}

test("keys and byte strings count, integers do not, and what is removed is free again", () => {
  const bench = new Bench();
  bench.run(set("abc", "text"));
  expect(stored(bench)).toBe(7);
  bench.run(set("abc", "longer text"));
  expect(stored(bench)).toBe(14);
  bench.run(set("abc", "9223372036854775807"));
  expect(stored(bench)).toBe(3);
  bench.run(add("xy"));
  once(bench, "id", add("xy"));
  expect(stored(bench)).toBe(7);
  bench.tick(100);
  expect(stored(bench)).toBe(5);
  bench.run({ type: "flush", database: null });
  expect(stored(bench)).toBe(0);
});

test("nothing that creates a key or grows a value goes past the limit; everything else goes on", () => {
  const bench = new Bench({ storedBytesMax: 10 });
  expect(bench.run(set("abc", "text"))).toBe("OK"); // 7
  expect(bench.run(add("n"))).toBe("1"); // 8
  expect(bench.run(add("new"))).toBe("OVERLOADED");
  expect(bench.run(set("new", "1"))).toBe("OVERLOADED");
  expect(bench.run(set("abc", "longer text"))).toBe("OVERLOADED");
  expect(bench.run(set("n", "txt"))).toBe("OVERLOADED");
  const key = bytes("new");
  const expected = { type: "absent" } as const;
  expect(bench.run({ type: "compareAndSet", database: 0, key, expected, value: 1 })).toBe("OVERLOADED");
  expect(bench.run({ type: "bound", database: 0, key, minimum: 0, maximum: "keep", force: false })).toBe("OVERLOADED");
  expect(bench.run({ type: "addDecimal", database: 0, key: bytes("n"), increment: bytes("0.25") })).toBe("OVERLOADED");
  expect(once(bench, "long id", add("n"))).toBe("OVERLOADED");
  for (let index = 0; index < 3; index++) bench.builder.add(0, key, 0, key.length, 1);
  expect(bench.applyAll()).toEqual(["OVERLOADED", "OVERLOADED", "OVERLOADED"]);
  expect([bench.get("abc"), bench.get("n"), bench.get("new"), stored(bench)]).toEqual(["text", "1", null, 8]);
  expect(bench.run(add("n"))).toBe("2");
  expect(bench.run(set("abc", "txt"))).toBe("OK");
  expect(bench.run(add("new"))).toBe("1"); // 10
  expect(bench.run(add("new"))).toBe("2");
  expect(bench.run(remove("abc"))).toBe("1");
  expect(bench.run(set("n", "text"))).toBe("OK");
});

test("a setMany is taken whole or not at all", () => {
  const bench = new Bench({ storedBytesMax: 10 });
  bench.run(set("a", "text")); // 5
  expect(bench.run(setMany(["a", "x"], ["b", "12345x"]))).toBe("OVERLOADED");
  expect(bench.run(setMany(["a", ""], ["a", "text and more"]))).toBe("OVERLOADED");
  expect([bench.get("a"), bench.get("b"), stored(bench)]).toEqual(["text", null, 5]);
  expect(bench.run(setMany(["a", "texts"], ["b", "123"], ["c", "xy"]))).toBe("OK");
  expect(stored(bench)).toBe(10);
  expect(bench.run(setMany(["a", "t"], ["b", "1"]))).toBe("OK");
});

test("a restored replica counts the same, also past a limit that was lowered, and refuses the same", () => {
  const bench = new Bench({ storedBytesMax: 20 });
  bench.run(set("abc", "text"));
  bench.run(set("de", "18014398509481984"));
  once(bench, "id", set("f", "value"));
  bench.run(remove("de"));
  expect(stored(bench)).toBe(15);
  const copy = restored(bench.machine, 20);
  expect(copy.statistics.storedBytes).toBe(15);
  expect(copy.stateHash()).toBe(bench.machine.stateHash());
  const lowered = restored(bench.machine, 4);
  expect(lowered.statistics.storedBytes).toBe(15);
  expect(lowered.stateHash()).toBe(bench.machine.stateHash());
});

test("the count is what is there, whatever was done, and replicas agree on it", () => {
  const key = fc.constantFrom("a", "bc", "def", "a key that does not lie in its entry");
  const value = fc.constantFrom("1", "18014398509481984", "text", "a longer text");
  const operation = fc.oneof(
    fc.tuple(key, value).map(([k, v]) => set(k, v)),
    fc.array(fc.tuple(key, value), { minLength: 1, maxLength: 3 }).map((pairs) => setMany(...pairs)),
    key.map(add),
    key.map(remove),
  );
  const max = 60;
  fc.assert(
    fc.property(fc.array(fc.tuple(operation, fc.boolean()), { maxLength: 40 }), (steps) => {
      const bench = new Bench({ storedBytesMax: max });
      for (const [operation, isOnce] of steps) {
        bench.timeMs += 30;
        const id = `id${bench.lsn % 5}`;
        const before = stored(bench);
        const expired = bench.machine.nextDueMs <= bench.timeMs;
        const outcome = isOnce ? once(bench, id, operation) : bench.run(operation);
        if (outcome === "OVERLOADED" && !expired) expect(stored(bench)).toBe(before);
        expect(stored(bench)).toBeLessThanOrEqual(max + id.length);
      }
      const copy = restored(bench.machine, max);
      expect(copy.statistics.storedBytes).toBe(stored(bench));
      bench.timeMs += 1_000;
      bench.run({ type: "flush", database: null });
      expect(stored(bench)).toBe(0);
    }),
    { numRuns: 100 },
  );
});
