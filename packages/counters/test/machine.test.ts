/** The machine end to end: records built, applied, read back; positions, folding, hostile bytes. */
import type { Lsn } from "@quipu/core";
import { describe, expect, test } from "vitest";
import { Bench, bytes } from "./bench.ts";

describe("runs", () => {
  test("adds of one key and delta fold into one run, and the callers' values follow from it", () => {
    const bench = new Bench();
    const { builder, machine } = bench;
    expect(builder.add(0, bytes("visits"), 0, 6, 1)).toBe(0);
    expect(builder.add(0, bytes("other"), 0, 5, 1)).toBe(1);
    expect(builder.add(0, bytes("visits"), 0, 6, 1)).toBe(0);
    expect(builder.commandCount).toBe(2);
    expect(builder.operationCount).toBe(3);
    bench.begin();
    expect(machine.applyNext()).toBe(0);
    expect(machine.run).toMatchObject({ first: 1, delta: 1, count: 2, admitted: 2 });
    expect(machine.applyNext()).toBe(0);
    machine.endRecord();
    expect(bench.read({ type: "describe", database: 0, key: bytes("visits") })).toEqual(["2", "1-2", null, null, "-1"]);
    expect(bench.read({ type: "describe", database: 0, key: bytes("other") })).toEqual(["1", "1-3", null, null, "-1"]);
  });

  test("a run ends at another delta of its key, at any other command, and where a read rides", () => {
    const { builder } = new Bench();
    const key = bytes("k");
    const commands = [
      builder.add(0, key, 0, 1, 1),
      builder.add(0, key, 0, 1, 2),
      builder.add(0, key, 0, 1, 1),
      builder.add(1, key, 0, 1, 1),
      builder.command({ type: "persist", database: 0, key }),
      builder.add(0, key, 0, 1, 1),
    ];
    builder.endRuns();
    commands.push(builder.add(0, key, 0, 1, 1));
    expect(commands).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  test("many open runs are told apart", () => {
    const bench = new Bench();
    const keys = Array.from({ length: 5_000 }, (_, index) => bytes(`key-${index}`));
    // Some folding first, or the builder would take it that it does not pay here.
    for (let add = 0; add < 50; add++) expect(bench.builder.add(0, bytes("hot"), 0, 3, 1)).toBe(0);
    for (let round = 0; round < 3; round++) {
      keys.forEach((key, index) => expect(bench.builder.add(0, key, 0, key.length, 1)).toBe(index + 1));
    }
    bench.applyAll();
    expect(bench.read({ type: "databaseSize", database: 0 })).toBe("5001");
    for (const key of keys) expect(bench.read({ type: "get", database: 0, key })).toBe("3");
  });

  test("where folding does not pay it is given up for the batch, and no add overtakes another of its key", () => {
    const bench = new Bench();
    const keys = Array.from({ length: 300 }, (_, index) => bytes(`key-${index}`));
    const places = [0, 1, 2].map(() => keys.map((key) => bench.builder.add(0, key, 0, key.length, 1)));
    // Each add a command of its own, in the order of the calls: the runs open when it was given up are ended.
    expect(places.flat()).toEqual(Array.from({ length: 900 }, (_, index) => index));
    bench.applyAll();
    for (const key of keys) expect(bench.read({ type: "get", database: 0, key })).toBe("3");
    // The next batch begins anew.
    expect([1, 2, 3].map(() => bench.builder.add(0, bytes("hot"), 0, 3, 1))).toEqual([0, 0, 0]);
  });
});

describe("records", () => {
  test("a second time is a duplicate, a gap is void, a new life voids the old", () => {
    const { builder, machine } = new Bench();
    const record = (incarnation: number, number: number): Uint8Array => {
      builder.add(0, bytes("k"), 0, 1, 1);
      return builder.finish({ node: 7, incarnation, number }, 1_000);
    };
    const first = record(1, 1);
    expect(machine.apply(1 as Lsn, first)).toBe("apply");
    expect(machine.apply(2 as Lsn, first)).toBe("duplicate");
    expect(machine.apply(3 as Lsn, record(1, 3))).toBe("void");
    expect(machine.apply(4 as Lsn, record(2, 2))).toBe("void");
    expect(machine.apply(5 as Lsn, record(2, 1))).toBe("apply");
    expect(machine.apply(6 as Lsn, record(1, 2))).toBe("void");
    expect(machine.apply(7 as Lsn, record(2, 2))).toBe("apply");
    expect(machine.lastNumber(7, 2)).toBe(2);
    expect(machine.lastNumber(7, 1)).toBe(0);
    expect(machine.appliedLsn).toBe(7);
    expect(machine.valueOf(machine.find(0, bytes("k"), 0, 1))).toBe(3);
  });

  test("from the first command that does not decode, every command answers INVALID_ARGUMENT", () => {
    const bench = new Bench();
    bench.builder.add(0, bytes("a"), 0, 1, 1);
    bench.builder.command({ type: "persist", database: 0, key: bytes("b") });
    bench.builder.add(0, bytes("c"), 0, 1, 1);
    const record = bench.finish();
    record[32 + 14] = 250; // The opcode of persist.
    expect(bench.machine.beginRecord(1 as Lsn, record)).toBe("apply");
    expect(bench.rest()).toEqual(["1", "INVALID_ARGUMENT", "INVALID_ARGUMENT"]);
    expect(bench.read({ type: "databaseSize", database: 0 })).toBe("1");
  });

  test("a header that we do not understand is void", () => {
    for (const [offset, value] of [
      [0, 2],
      [1, 1],
      [2, 9],
      [28, 255],
    ] as const) {
      const bench = new Bench();
      bench.builder.add(0, bytes("a"), 0, 1, 1);
      const record = bench.finish();
      record[offset] = value;
      expect(bench.machine.apply(1 as Lsn, record)).toBe("void");
    }
    expect(new Bench().machine.apply(1 as Lsn, new Uint8Array(31))).toBe("void");
  });
});
