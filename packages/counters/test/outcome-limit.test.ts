/** What one logged command may answer: a few bytes of reads must not ask for gigabytes, and at every start again. */
import { describe, expect, test } from "vitest";
import type { Operation, ReadOperation } from "../src/operations.ts";
import { Bench, bytes, type Plain } from "./bench.ts";

const key = bytes("k");
const get: Operation = { type: "get", database: 0, key };
const once = (bench: Bench, operations: readonly Operation[]): Plain =>
  bench.run({
    type: "once",
    id: bytes("id"),
    retentionMs: 1_000,
    bornAtMs: null,
    command: { type: "transaction", watches: [], operations },
  });

function benchWithText(): Bench {
  const bench = new Bench({ outcomeBytesMax: 100 });
  const value = bytes("x".repeat(30));
  const condition = "always";
  const expiry = { type: "clear" } as const;
  bench.run({ type: "set", database: 0, key, value, condition, returnPrevious: false, expiry });
  return bench;
}

test("reads past the limit are refused, writes of the same command are not", () => {
  const bench = benchWithText();
  const text = "x".repeat(30);
  const add: Operation = { type: "add", database: 0, key: bytes("n"), delta: 1 };
  const replies = once(bench, [get, get, get, get, add]);
  expect(replies).toEqual([text, text, "VALUE_TOO_LARGE", "VALUE_TOO_LARGE", "1"]);
  expect(once(bench, [get, get, get, get, add])).toEqual(replies);
});

test("what reads and changes at once changes nothing where its answer does not fit", () => {
  const bench = benchWithText();
  const expiry = { type: "in", ms: 5 } as const;
  const last = (operation: Operation): Plain => (once(bench, [get, get, operation]) as readonly Plain[])[2] as Plain;
  expect(last({ type: "getAndDelete", database: 0, key })).toBe("VALUE_TOO_LARGE");
  bench.tick(2_000);
  expect(last({ type: "getAndExpire", database: 0, key, expiry })).toBe("VALUE_TOO_LARGE");
  bench.tick(2_000);
  const set = { type: "set", database: 0, key, value: bytes("5"), condition: "always", returnPrevious: true } as const;
  expect(last({ ...set, expiry: { type: "clear" } })).toBe("VALUE_TOO_LARGE");
  expect(bench.get("k")).toBe("x".repeat(30));
});

test("a plain read is not a logged command, and the limit is that of each command", () => {
  const bench = benchWithText();
  const keys = [key, key, key, key];
  expect(bench.read({ type: "getMany", database: 0, keys })).toHaveLength(4);
  bench.builder.command({ type: "transaction", watches: [], operations: [get, get] });
  bench.builder.command({ type: "transaction", watches: [], operations: [get, get] });
  expect(bench.applyAll()).toEqual([Array(2).fill("x".repeat(30)), Array(2).fill("x".repeat(30))]);
});

test("an entry born ahead under an endless retention is refused: its end would be no exact time", () => {
  const bench = new Bench();
  const command: Operation = { type: "add", database: 0, key, delta: 1 };
  const retentionMs = Number.MAX_SAFE_INTEGER - 1_000;
  expect(bench.run({ type: "once", id: bytes("id"), retentionMs, bornAtMs: 1_001, command })).toBe("INVALID_ARGUMENT");
  expect([...bench.machine.snapshot()]).not.toHaveLength(0);
});

describe("a read that is not logged", () => {
  const readBytesMax = 100;
  const keys = (pattern: string): ReadOperation => ({ type: "keys", database: 0, pattern: bytes(pattern) });

  test("is refused where its answer would be longer than the limit", () => {
    const bench = new Bench({ readBytesMax });
    const value = bytes("x".repeat(30));
    const set = { type: "set", database: 0, value, condition: "always", returnPrevious: false } as const;
    bench.run({ ...set, key, expiry: { type: "clear" } });
    const getMany = (count: number): ReadOperation => ({ type: "getMany", database: 0, keys: Array(count).fill(key) });
    expect(bench.read(getMany(2))).toHaveLength(2);
    expect(bench.read(getMany(3))).toBe("VALUE_TOO_LARGE");
    expect(bench.get("k")).toBe("x".repeat(30));
  });

  test("counts the keys that match, in one slot or in many", () => {
    for (const tag of ["", "{t}"]) {
      const bench = new Bench({ readBytesMax });
      for (let index = 0; index < 20; index++) {
        bench.run({ type: "add", database: 0, key: bytes(`${index % 2}${tag}${index}`), delta: 1 });
      }
      expect(bench.read(keys("*"))).toBe("VALUE_TOO_LARGE");
      expect(bench.read(keys("1*9"))).toEqual(expect.arrayContaining([`1${tag}9`, `1${tag}19`]));
      const scan = { type: "scan", database: 0, cursor: 0, pattern: null } as const;
      expect(bench.read({ ...scan, count: 20 })).toBe("VALUE_TOO_LARGE");
      expect(bench.read({ ...scan, pattern: bytes("1*9"), count: 20 })).not.toBe("VALUE_TOO_LARGE");
    }
  });

  test("has a limit of its own: logged reads have that of their command", () => {
    const bench = new Bench({ readBytesMax, outcomeBytesMax: 1_000 });
    for (let index = 0; index < 20; index++) bench.run({ type: "add", database: 0, key: bytes(`${index}`), delta: 1 });
    expect(once(bench, [keys("*") as Operation])).toEqual([expect.arrayContaining(["0", "19"])]);
  });
});
