/** What the tests of the simulated cell share: a run that must hold, and blocks of fresh seeds for several files. */
import { describe, expect, test } from "vitest";
import { CellCoverage, CellSimulation, type CellSwarm } from "../src/mod.ts";

export async function expectCellToHold(
  seed: number,
  swarm: Partial<CellSwarm> = {},
  coverage: CellCoverage = new CellCoverage(),
): Promise<string> {
  const { failure, traceHash } = await new CellSimulation({ seed, swarm, coverage }).run();
  const replay = `npm run sim -- --cell --seed ${seed} --trace --set '${JSON.stringify(swarm)}'`;
  expect(failure?.message, `replay: ${replay}`).toBeUndefined();
  return traceHash;
}

const firstFreshSeed = 30_001;
/** Files run side by side, on as many cores as there are. */
const blocksPerFile = 16;
const seedsPerBlock = 5;

/** The fresh seeds of one file; `file` counts from 0. */
export function freshCellSeeds(file: number): void {
  const coverage = new CellCoverage();
  const first = firstFreshSeed + file * blocksPerFile * seedsPerBlock;
  describe("fresh seeds", () => {
    test.each(Array.from({ length: blocksPerFile }, (_, i) => first + i * seedsPerBlock))("%i and on", async (from) => {
      for (let seed = from; seed < from + seedsPerBlock; seed++) await expectCellToHold(seed, {}, coverage);
    });

    test("met faults where they hurt", () => {
      expect(coverage.get("crash at a send", "leader")).toBeGreaterThan(0);
      expect(coverage.get("crash at an event", "between persist and send")).toBeGreaterThan(0);
      expect(coverage.get("frame lost", "in a joint configuration")).toBeGreaterThan(0);
      expect(coverage.get("frame lost", "candidate")).toBeGreaterThan(0);
      expect(coverage.get("killed", "leader")).toBeGreaterThan(0);
    });
  });
}
