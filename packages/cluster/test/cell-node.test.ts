/** Whole nodes: founding, restarts, snapshots, lost and damaged disks. */
import { describe, expect, test } from "vitest";
import { TestCell } from "./test-cell.ts";

const allFine = (cell: TestCell): void => {
  for (const { fatal } of cell.hosts) expect(fatal).toEqual([]);
};

describe("a cell of three", () => {
  test("is founded, serves at each node, and holds one state", async () => {
    const cell = new TestCell(3);
    await cell.startAll();
    expect(await cell.add(1, "a")).toBe("1:1");
    expect(await cell.add(2, "a")).toBe("1:2");
    expect(await cell.add(3, "a")).toBe("1:3");
    for (const number of [1, 2, 3]) expect(await cell.read(number, "a")).toBe("1:3");
    expect(new Set(await cell.hashes()).size).toBe(1);
    allFine(cell);
  });
});
