/** The codec: every command and outcome survives the way through bytes; nothing hostile gets past, or breaks it. */
import { ByteReader, ByteWriter, DecodeError, type Int64, int64Max, int64Min } from "@quipu/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  readCommand,
  readOperation,
  readOutcome,
  runCountOffset,
  writeCommand,
  writeOutcome,
  writeRun,
} from "../src/codec.ts";
import { errorCodesByNumber, errorNumbers, opcodes, outcomeTags } from "../src/opcodes.ts";
import type { OutcomeValue } from "../src/outcome.ts";
import { anyCommand, anyInt64, anyOutcome, bytesOf } from "./model/arbitraries.ts";

function written(write: (writer: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter(1); // Grows on every occasion.
  write(writer);
  return writer.copy();
}

function readAll<T>(bytes: Uint8Array, read: (reader: ByteReader) => T): T {
  const reader = new ByteReader();
  reader.reset(bytes);
  const value = read(reader);
  expect(reader.remaining).toBe(0);
  return value;
}

/** Reads what may be malformed: the value, or undefined for a DecodeError. Anything else thrown fails the test. */
function attempt<T>(bytes: Uint8Array, read: (reader: ByteReader) => T): T | undefined {
  const reader = new ByteReader();
  reader.reset(bytes);
  try {
    return read(reader);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

const plain = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (_, item: unknown) => (typeof item === "bigint" ? `${item}n` : item)));

describe("numbers", () => {
  test("int64 comes back canonical", () => {
    fc.assert(
      fc.property(anyInt64, (value: Int64) => {
        expect(
          readAll(
            written((w) => w.int64(value)),
            (r) => r.int64(),
          ),
        ).toBe(value);
      }),
    );
    for (const value of [
      0,
      -1,
      2 ** 31 - 1,
      2 ** 31,
      -(2 ** 31),
      -(2 ** 31) - 1,
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
      int64Max,
      int64Min,
      -(2n ** 53n),
      2n ** 53n,
    ]) {
      expect(
        readAll(
          written((w) => w.int64(value)),
          (r) => r.int64(),
        ),
      ).toBe(value);
    }
  });

  test("varint, u8, u16, u32, f64", () => {
    for (const value of [
      0,
      1,
      127,
      128,
      16_383,
      16_384,
      2 ** 31 - 1,
      2 ** 31,
      2 ** 32,
      2 ** 49 - 1,
      2 ** 49,
      Number.MAX_SAFE_INTEGER,
    ]) {
      expect(
        readAll(
          written((w) => w.varint(value)),
          (r) => r.varint(),
        ),
      ).toBe(value);
    }
    fc.assert(
      fc.property(
        fc.maxSafeNat(),
        fc.nat(255),
        fc.nat(65_535),
        fc.nat(2 ** 32 - 1),
        fc.double({ noNaN: true }),
        (v, a, b, c, d) => {
          const bytes = written((w) => {
            w.varint(v);
            w.u8(a);
            w.u16(b);
            w.u32(c);
            w.f64(d);
          });
          expect(readAll(bytes, (r) => [r.varint(), r.u8(), r.u16(), r.u32(), r.f64()])).toEqual([v, a, b, c, d]);
        },
      ),
    );
  });

  test("each value has one encoding: the others are refused", () => {
    const refused: readonly (readonly [string, (r: ByteReader) => unknown, readonly number[]])[] = [
      ["wide int64 that would fit 32 bits", (r) => r.int64(), [1, 5, 0, 0, 0, 0, 0, 0, 0]],
      ["unknown width", (r) => r.int64(), [2, 0, 0, 0, 0]],
      ["padded varint", (r) => r.varint(), [0x81, 0]],
      ["varint beyond 2^53 - 1", (r) => r.varint(), [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]],
      ["endless varint", (r) => r.varint(), Array.from({ length: 20 }, () => 0xff)],
      ["time beyond 2^53 - 1", (r) => r.safeInteger(), [1, 0, 0, 0, 0, 0, 0, 0, 0x7f]],
      ["bytes longer than what is there", (r) => r.bytes(), [4, 1, 2, 3]],
      ["nothing", (r) => r.u8(), []],
    ];
    for (const [name, read, bytes] of refused) expect(attempt(Uint8Array.from(bytes), read), name).toBeUndefined();
  });
});

describe("commands", () => {
  test("every command survives the way through bytes", () => {
    fc.assert(
      fc.property(anyCommand, (command) => {
        expect(
          plain(
            readAll(
              written((w) => writeCommand(w, command)),
              readCommand,
            ),
          ),
        ).toEqual(plain(command));
      }),
      { numRuns: 1000 },
    );
  });

  test("what is read can be written again, byte for byte: one encoding per command", () => {
    const valid = anyCommand.map((command) => written((w) => writeCommand(w, command)));
    const damage = fc.array(fc.record({ at: fc.nat(), to: fc.nat(255) }), { maxLength: 3 });
    fc.assert(
      fc.property(valid, damage, (bytes, changes) => {
        const damaged = bytes.slice();
        for (const { at, to } of changes) damaged[at % damaged.length] = to;
        const reader = new ByteReader();
        reader.reset(damaged);
        const command = attempt(damaged, (r) => {
          const value = readCommand(r);
          return { value, end: r.position };
        });
        if (command === undefined) return;
        expect(written((w) => writeCommand(w, command.value))).toEqual(damaged.slice(0, command.end));
      }),
      { numRuns: 1500 },
    );
  });

  test("every cut of a command is refused", () => {
    fc.assert(
      fc.property(anyCommand, (command) => {
        const bytes = written((w) => writeCommand(w, command));
        for (let end = 0; end < bytes.length; end++) expect(attempt(bytes.slice(0, end), readCommand)).toBeUndefined();
      }),
      { numRuns: 100 },
    );
  });

  test("noise throws nothing but DecodeError", () => {
    const opcode = fc.constantFrom(...Object.values(opcodes));
    fc.assert(
      fc.property(opcode, fc.uint8Array({ maxLength: 60 }), (first, rest) => {
        attempt(Uint8Array.from([first, ...rest]), readCommand);
        attempt(rest, readCommand);
        attempt(rest, readOutcome);
      }),
      { numRuns: 3000 },
    );
  });

  test("hostile counts are refused before anything is allocated for them", () => {
    const count = written((w) => w.varint(2 ** 40));
    for (const opcode of [opcodes.delete, opcodes.getMany, opcodes.exists]) {
      expect(attempt(Uint8Array.from([opcode, 0, ...count, 0, 0, 0]), readCommand)).toBeUndefined();
    }
    expect(attempt(Uint8Array.from([opcodes.setMany, 0, 0, ...count]), readCommand)).toBeUndefined();
    expect(attempt(Uint8Array.from([opcodes.transaction, ...count]), readCommand)).toBeUndefined();
    expect(attempt(Uint8Array.from([outcomeTags.array, ...count]), readOutcome)).toBeUndefined();
  });

  test("nesting: nothing inside once but operations and transactions, nothing inside those but operations", () => {
    const get = [opcodes.get, 0, 1, 97];
    const onceHead = [opcodes.once, 1, 120, 5, 0];
    const transactionHead = [opcodes.transaction, 0, 1];
    const sessionHead = [opcodes.session, 1, 120, 5, 1, 1, 1];
    const readable = (...parts: number[][]): boolean =>
      attempt(Uint8Array.from(parts.flat()), readCommand) !== undefined;
    expect(readable(onceHead, get)).toBe(true);
    expect(readable(onceHead, transactionHead, get)).toBe(true);
    expect(readable(sessionHead, get)).toBe(true);
    expect(readable(onceHead, onceHead, get)).toBe(false);
    expect(readable(onceHead, sessionHead, get)).toBe(false);
    expect(readable(transactionHead, transactionHead, get)).toBe(false);
    expect(readable(sessionHead, transactionHead, get)).toBe(false);
    expect(readable(sessionHead, onceHead, get)).toBe(false);
  });

  test("a run keeps its fixed layout, and is an operation only when it is one add", () => {
    const key = bytesOf("k");
    const one = written((w) => writeRun(w, 2, 1, -7, key, 0, 1));
    expect([...one]).toEqual([1, 2, 1, 0, 0, 0, 0, 0xf9, 0xff, 0xff, 0xff, 1, 107]);
    expect(plain(readAll(one, readOperation))).toEqual(plain({ type: "add", database: 2, key, delta: -7 }));
    const three = one.slice();
    three[runCountOffset] = 3;
    expect(attempt(three, readOperation)).toBeUndefined();
    expect([...written((w) => writeRun(w, 0, 1, 2n ** 62n, key, 0, 1))]).toEqual([
      1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x40, 1, 107,
    ]);
  });
});

describe("outcomes", () => {
  test("every outcome survives, and shares no bytes with its source", () => {
    fc.assert(
      fc.property(anyOutcome, (outcome: OutcomeValue) => {
        const bytes = written((w) => writeOutcome(w, outcome));
        const read = readAll(bytes, readOutcome);
        bytes.fill(0xee);
        expect(plain(read)).toEqual(plain(outcome));
      }),
      { numRuns: 500 },
    );
  });

  test("a tower of arrays is refused", () => {
    const tower = Uint8Array.from({ length: 200_000 }, (_, index) => (index % 2 === 0 ? outcomeTags.array : 1));
    expect(attempt(tower, readOutcome)).toBeUndefined();
  });
});

test("numbers of opcodes, outcomes and errors are distinct bytes", () => {
  for (const table of [opcodes, outcomeTags, errorNumbers]) {
    const numbers = Object.values(table);
    expect(new Set(numbers).size).toBe(numbers.length);
    for (const number of numbers) expect(number > 0 && number < 256).toBe(true);
  }
  for (const [code, number] of Object.entries(errorNumbers)) expect(errorCodesByNumber[number]).toBe(code);
});
