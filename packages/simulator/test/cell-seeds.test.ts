/** The simulated cell over stored seeds: no check fails, and the same seed is the same run, byte for byte (P10). */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { CellSimulation, type CellSwarm, parseStoredSeeds, Trace } from "../src/mod.ts";
import { expectCellToHold } from "./cell-runs.ts";

const text = readFileSync(new URL("../testdata/cell-seeds.txt", import.meta.url), "utf8");

test.each(parseStoredSeeds<CellSwarm>(text))("$seed twice: $name", async ({ seed, swarm }) => {
  expect(await expectCellToHold(seed, swarm)).toBe(await expectCellToHold(seed, swarm));
});

test("a trace is the same whether somebody reads it or not", async () => {
  const [silent, read] = [new Trace(), new Trace({ keepLines: true })];
  await new CellSimulation({ seed: 7, trace: silent }).run();
  await new CellSimulation({ seed: 7, trace: read }).run();
  expect(read.hash()).toBe(silent.hash());
  expect(read.lines.length).toBe(silent.lineCount);
});
