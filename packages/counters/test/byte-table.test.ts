/** The key table against a Map: insertions, removals, keys of every way of storage, growth past many splits. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteTable } from "../src/byte-table.ts";

/** Few distinct keys of each length, so that removals and reuse meet; lengths on both sides of every limit. */
const key = fc
  .tuple(fc.constantFrom(0, 1, 3, 4, 5, 15, 16, 17, 31, 127, 128, 129, 161, 511, 512, 513, 700), fc.nat(3), fc.nat(2))
  .map(([length, variant, space]) => {
    const bytes = new Uint8Array(length).fill(0x61);
    if (length > 0) bytes[length - 1] = variant;
    return { bytes, space };
  });

/** Sought first, as insert asks for. */
function insert(table: ByteTable, bytes: Uint8Array): number {
  expect(table.find(0, bytes, 0, bytes.length)).toBe(-1);
  return table.insert(0, bytes, 0, bytes.length);
}

const nameOf = (space: number, bytes: Uint8Array): string => `${space}:${Array.from(bytes).join(",")}`;

describe("ByteTable", () => {
  test("finds what was inserted and not removed, whatever lies around the key", () => {
    fc.assert(
      fc.property(fc.nat(), fc.array(fc.tuple(key, fc.boolean()), { maxLength: 200 }), (seed, steps) => {
        const table = new ByteTable(seed, 0, 4);
        const model = new Map<string, { id: number; bytes: Uint8Array; space: number }>();
        for (const [{ bytes, space }, removes] of steps) {
          const name = nameOf(space, bytes);
          const padded = new Uint8Array([9, 9, ...bytes, 9]);
          const id = table.find(space, padded, 2, 2 + bytes.length);
          expect(id).toBe(model.get(name)?.id ?? -1);
          if (id < 0) {
            const added = table.insert(space, padded, 2, 2 + bytes.length);
            for (const other of model.values()) expect(other.id).not.toBe(added);
            model.set(name, { id: added, bytes, space });
          } else if (removes) {
            table.remove(id);
            model.delete(name);
          }
          expect(table.size).toBe(model.size);
        }
        for (const { id, bytes, space } of model.values()) {
          expect(table.key(id)).toEqual(bytes);
          expect(table.keyLength(id)).toBe(bytes.length);
          expect(table.space(id)).toBe(space);
        }
      }),
      { numRuns: 100 },
    );
  });

  test("20,000 keys, half removed, then 20,000 more: ids are used again", () => {
    const table = new ByteTable(77, 0, 4);
    const encode = (number: number): Uint8Array => new TextEncoder().encode(`some/key/${number}`);
    const ids = new Map<number, number>();
    for (let number = 0; number < 20_000; number++) ids.set(number, insert(table, encode(number)));
    for (let number = 0; number < 20_000; number += 2) {
      table.remove(ids.get(number) as number);
      ids.delete(number);
    }
    for (let number = 20_000; number < 40_000; number++) {
      ids.set(number, insert(table, encode(number)));
    }
    expect(table.size).toBe(30_000);
    expect(table.idLimit).toBe(30_000);
    let wrong = 0;
    for (let number = 0; number < 40_000; number++) {
      const bytes = encode(number);
      if (table.find(0, bytes, 0, bytes.length) !== (ids.get(number) ?? -1)) wrong++;
    }
    expect(wrong).toBe(0);
  });

  test("owner's fields stay with their entry", () => {
    const table = new ByteTable(1, 4, 4);
    for (let number = 0; number < 5_000; number++) {
      const id = insert(table, new Uint8Array([number & 255, number >>> 8]));
      table.entries.setWord(id, 4, -number);
      table.entries.setDouble(id, 6, number + 0.5);
    }
    for (let number = 0; number < 5_000; number++) {
      const id = table.find(0, new Uint8Array([number & 255, number >>> 8]), 0, 2);
      expect(table.entries.word(id, 4)).toBe(-number | 0);
      expect(table.entries.double(id, 6)).toBe(number + 0.5);
    }
  });
});
