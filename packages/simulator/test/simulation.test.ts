/** The simulator over stored and fresh seeds: no check fails, and the same seed is the same run, byte for byte (P10). */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Coverage, parseStoredSeeds, Simulation, type SwarmConfiguration, Trace } from "../src/mod.ts";

const storedSeeds = parseStoredSeeds(readFileSync(new URL("../testdata/seeds.txt", import.meta.url), "utf8"));

const freshSeedsFirst = 20_001;
/** Fifteen tests of eight: about twenty seconds of one core together. */
const freshBlocks = 15;
const seedsPerBlock = 8;

async function expectToHold(
  seed: number,
  swarm: Partial<SwarmConfiguration> = {},
  coverage: Coverage = new Coverage(),
): Promise<string> {
  const { failure, traceHash } = await new Simulation({ seed, swarm, coverage }).run();
  const replay = `npm run sim -- --seed ${seed} --trace --set '${JSON.stringify(swarm)}'`;
  expect(failure?.message, `replay: ${replay}`).toBeUndefined();
  return traceHash;
}

describe("stored seeds, twice each", () => {
  test.each(storedSeeds)("$seed: $name", async ({ seed, swarm }) => {
    expect(await expectToHold(seed, swarm)).toBe(await expectToHold(seed, swarm));
  });
});

describe("fresh seeds", () => {
  const coverage = new Coverage();
  test.each(Array.from({ length: freshBlocks }, (_, i) => freshSeedsFirst + i * seedsPerBlock))(
    "%i and on",
    async (first) => {
      for (let seed = first; seed < first + seedsPerBlock; seed++) await expectToHold(seed, {}, coverage);
    },
  );

  test("met crashes, lost answers and damage while starting, serving and checkpointing", () => {
    expect(coverage.get("crash at an event", "starting")).toBeGreaterThan(0);
    expect(coverage.get("crash at an event", "serving")).toBeGreaterThan(0);
    expect(coverage.get("crash at an event", "checkpointing")).toBeGreaterThan(0);
    expect(coverage.get("append's answer lost", "serving")).toBeGreaterThan(0);
    expect(coverage.get("EIO on sync", "serving")).toBeGreaterThan(0);
    expect(coverage.get("bit flip refused", "starting")).toBeGreaterThan(0);
    expect(coverage.get("live switch", "serving")).toBeGreaterThan(0);
  });
});

test("another seed is another run, and every line counts in the hash", async () => {
  const traces = [new Trace({ keepLines: true }), new Trace({ keepLines: true })] as const;
  await new Simulation({ seed: 31, trace: traces[0] }).run();
  await new Simulation({ seed: 32, trace: traces[1] }).run();
  expect(traces[0].hash()).not.toBe(traces[1].hash());
  const replayed = new Trace();
  for (const line of traces[0].lines) replayed.add(line);
  expect(replayed.hash()).toBe(traces[0].hash());
  const shortened = new Trace();
  for (const line of traces[0].lines.slice(1)) shortened.add(line);
  expect(shortened.hash()).not.toBe(traces[0].hash());
});
