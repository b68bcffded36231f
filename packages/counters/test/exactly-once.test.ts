/** Idempotency keys and sessions: applied once, answered the same again, refused when too old. */
import { describe, expect, test } from "vitest";
import { CounterMachine, type MachineOptions } from "../src/machine.ts";
import type { Operation } from "../src/operations.ts";
import { Bench, bytes, type Plain } from "./bench.ts";

const add = (delta: number, key = "k"): Operation => ({ type: "add", database: 0, key: bytes(key), delta });

describe("idempotency keys", () => {
  const once = (bench: Bench, id: string, operation: Operation, bornAtMs: number | null = null): Plain =>
    bench.run({ type: "once", id: bytes(id), retentionMs: 1_000, bornAtMs, command: operation });

  test("the first outcome again, rejections included; another request is a mismatch", () => {
    const bench = new Bench();
    expect(once(bench, "a", add(5))).toBe("5");
    expect(once(bench, "b", add(1))).toBe("6");
    expect(once(bench, "a", add(5))).toBe("5");
    expect(once(bench, "a", add(6))).toBe("IDEMPOTENCY_MISMATCH");
    bench.run({ type: "bound", database: 0, key: bytes("k"), minimum: "keep", maximum: 6, force: false });
    expect(once(bench, "c", add(1))).toBe("OUT_OF_BOUNDS");
    bench.run({ type: "bound", database: 0, key: bytes("k"), minimum: "keep", maximum: "clear", force: false });
    expect(once(bench, "c", add(1))).toBe("OUT_OF_BOUNDS");
    expect(bench.get("k")).toBe("6");
  });

  test("the scope is the slot: the same id for a key of another slot is another id", () => {
    const bench = new Bench();
    expect(once(bench, "a", add(5))).toBe("5");
    expect(once(bench, "a", add(7, "elsewhere"))).toBe("7");
    expect(once(bench, "a", add(7, "{k}"))).toBe("IDEMPOTENCY_MISMATCH");
  });

  test("after its retention an id is new, unless it bears a time: then it is refused for ever", () => {
    const bench = new Bench();
    once(bench, "plain", add(1));
    once(bench, "dated", add(1), 1_000);
    once(bench, "ahead", add(1), 1_500);
    bench.tick(999);
    expect(once(bench, "plain", add(1))).toBe("1");
    bench.tick(1);
    expect(once(bench, "plain", add(1))).toBe("4");
    expect(once(bench, "dated", add(1), 1_000)).toBe("IDEMPOTENCY_EXPIRED");
    bench.tick(499);
    expect(once(bench, "ahead", add(1), 1_500)).toBe("3");
    bench.tick(1);
    expect(once(bench, "ahead", add(1), 1_500)).toBe("IDEMPOTENCY_EXPIRED");
    expect(bench.get("k")).toBe("4");
  });

  test("full: OVERLOADED, nothing changed, known ids still answered", () => {
    const bench = new Bench({ idempotencyEntriesMax: 1 });
    expect(once(bench, "a", add(1))).toBe("1");
    expect(once(bench, "b", add(1))).toBe("OVERLOADED");
    expect(once(bench, "a", add(1))).toBe("1");
    expect(bench.get("k")).toBe("1");
  });

  test("stored outcomes are bounded in bytes, and expiry gives them back", () => {
    const bench = new Bench({ idempotencyOutcomeBytesMax: 1 });
    const exists: Operation = { type: "getMany", database: 0, keys: [bytes("k")] };
    expect(once(bench, "a", exists)).toEqual([null]);
    expect(once(bench, "b", add(1))).toBe("OVERLOADED");
    expect(once(bench, "a", exists)).toEqual([null]);
    bench.tick(1_000);
    expect(once(bench, "b", add(1))).toBe("1");
  });

  test("every kind of outcome comes back as it was", () => {
    const bench = new Bench();
    const key = bytes("k");
    const set = (value: string): Operation => ({
      type: "set",
      database: 0,
      key,
      value: bytes(value),
      condition: "always",
      returnPrevious: true,
      expiry: { type: "clear" },
    });
    const expected: Plain[] = [null, "text", "9007199254740993"];
    const values = ["text", "9007199254740993", "1"];
    for (let round = 0; round < 2; round++) {
      values.forEach((value, index) => expect(once(bench, `id${index}`, set(value))).toBe(expected[index]));
    }
    const transaction = { type: "transaction", watches: [], operations: [add(1), set("x"), add(1)] } as const;
    for (let round = 0; round < 2; round++) {
      const reply = bench.run({ type: "once", id: bytes("t"), retentionMs: 9, bornAtMs: null, command: transaction });
      expect(reply).toEqual(["2", "2", "NOT_AN_INTEGER"]);
    }
  });

  test("onceAdd writes what command() writes", () => {
    for (const bornAtMs of [null, 77]) {
      const left = new Bench();
      const right = new Bench();
      const id = bytes("<id>");
      left.builder.onceAdd(id, 1, 3, 5_000, bornAtMs, 2, bytes("[key]"), 1, 4, -3);
      const command = { type: "add", database: 2, key: bytes("key"), delta: -3 } as const;
      right.builder.command({ type: "once", id: bytes("id"), retentionMs: 5_000, bornAtMs, command });
      expect(left.finish()).toEqual(right.finish());
    }
  });
});

describe("sessions", () => {
  const batch = (
    bench: Bench,
    number: number,
    lowestOpen: number,
    operations: readonly Operation[] = [add(1)],
    expiresAtMs = 10_000,
  ): Plain => bench.run({ type: "session", session: bytes("s"), expiresAtMs, number, lowestOpen, operations });

  test("a number is applied once; its reply is kept until it is acknowledged", () => {
    const bench = new Bench();
    expect(batch(bench, 1, 1)).toEqual(["1-1", "0", ["1"]]);
    expect(batch(bench, 1, 1)).toEqual(["1-1", "1", ["1"]]);
    expect(batch(bench, 3, 1, [add(1), add(1)])).toEqual(["3-1", "0", ["2", "3"]]);
    expect(batch(bench, 2, 1)).toEqual(["4-1", "0", ["4"]]);
    expect(batch(bench, 4, 3)).toEqual(["5-1", "0", ["5"]]);
    expect(batch(bench, 2, 1)).toBe("SESSION_NUMBER_USED");
    expect(batch(bench, 3, 3)).toEqual(["3-1", "1", ["2", "3"]]);
    expect(bench.get("k")).toBe("5");
  });

  test("expired: refused for ever, its entry gone; too far ahead: refused", () => {
    const bench = new Bench({ sessionLifetimeMaxMs: 9_000 });
    expect(batch(bench, 1, 1)).toEqual(["1-1", "0", ["1"]]);
    expect(batch(bench, 1, 1, [add(1)], 10_001)).toBe("INVALID_ARGUMENT");
    bench.tick(8_999);
    expect(bench.machine.statistics.sessions).toBe(1);
    bench.tick(1);
    expect(bench.machine.statistics.sessions).toBe(0);
    expect(batch(bench, 1, 1)).toBe("SESSION_EXPIRED");
    expect(batch(bench, 2, 1)).toBe("SESSION_EXPIRED");
    expect(bench.get("k")).toBe("1");
  });

  test("limits: sessions, and replies left open", () => {
    const options: MachineOptions = { sessionsMax: 1, sessionRepliesMax: 2 };
    const bench = new Bench(options);
    batch(bench, 1, 1);
    batch(bench, 2, 1);
    expect(batch(bench, 3, 1)).toBe("OVERLOADED");
    expect(batch(bench, 3, 2)).toEqual(["4-1", "0", ["3"]]);
    expect(batch(bench, 1, 1, [add(1)], 10_001)).toBe("OVERLOADED");
    expect(bench.get("k")).toBe("3");
  });

  test("open replies are bounded in bytes; acknowledging them makes room", () => {
    const bench = new Bench({ sessionReplyBytesMax: 20 });
    expect(batch(bench, 1, 1)).toEqual(["1-1", "0", ["1"]]);
    expect(batch(bench, 2, 1)).toBe("OVERLOADED");
    expect(batch(bench, 2, 2)).toEqual(["3-1", "0", ["2"]]);
  });

  test("open replies of all sessions are bounded together; a refused batch acknowledges all the same", () => {
    const bench = new Bench({ sessionsReplyBytesMax: 50 });
    const of = (session: string, number: number, lowestOpen: number): Plain =>
      bench.run({
        type: "session",
        session: bytes(session),
        expiresAtMs: 10_000,
        number,
        lowestOpen,
        operations: [add(1)],
      });
    expect(of("a", 1, 1)).toEqual(["1-1", "0", ["1"]]);
    expect(of("a", 2, 1)).toEqual(["2-1", "0", ["2"]]);
    expect(of("b", 1, 1)).toEqual(["3-1", "0", ["3"]]);
    expect(of("b", 2, 1)).toBe("OVERLOADED");
    expect(of("c", 1, 1)).toBe("OVERLOADED");
    expect(of("a", 3, 3)).toEqual(["6-1", "0", ["4"]]);
    expect(of("c", 1, 1)).toEqual(["7-1", "0", ["5"]]);
    const copy = new CounterMachine({ sessionsReplyBytesMax: 50 });
    for (const { key, value } of bench.machine.snapshot()) copy.loadEntry(key, value);
    copy.finishLoad();
    expect(copy.stateHash()).toBe(bench.machine.stateHash());
  });

  test("positions do not depend on what became of a batch", () => {
    const bench = new Bench();
    const session = { type: "session", session: bytes("s"), expiresAtMs: 10_000, lowestOpen: 1 } as const;
    const operations = [add(1), add(1)];
    for (let index = 0; index < 2; index++) bench.builder.command({ ...session, number: 1, operations });
    bench.builder.command({ ...session, number: 2, operations });
    const replies = bench.applyAll();
    expect(replies).toEqual([
      ["1-1", "0", ["1", "2"]],
      ["1-1", "1", ["1", "2"]],
      ["1-5", "0", ["3", "4"]],
    ]);
  });
});
