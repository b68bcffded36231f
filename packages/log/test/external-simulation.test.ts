/**
 * The driver of external engines on a model service that loses, repeats and delays requests, with nodes that die: what the
 * loglet contract promises holds for many seeds; and every deliberate bug of the driver is seen within a few.
 */
import type { ExternalSimulationOptions } from "@quipu/simulator";
import { runExternalSimulation } from "@quipu/simulator";
import { expect, test } from "vitest";
import type { ExternalMutation } from "../src/mod.ts";

/** `EXTERNAL_SEEDS=1-5000` for more. */
const [from = 1, to = 40] = process.env["EXTERNAL_SEEDS"]?.split("-").map(Number) ?? [];

test(`several nodes on one log, seeds ${from} to ${to}: acknowledged once, in order, the same for all`, async () => {
  let [acknowledged, unknown, refused] = [0, 0, 0];
  for (let seed = from; seed <= to; seed++) {
    const result = await runExternalSimulation({ seed });
    acknowledged += result.acknowledged;
    unknown += result.unknown;
    refused += result.refused;
  }
  // Runs in which nothing succeeds, or nothing goes wrong, prove nothing.
  expect(acknowledged).toBeGreaterThan(100 * (to - from));
  expect(unknown).toBeGreaterThan(5 * (to - from));
  expect(refused).toBeGreaterThan(50 * (to - from));
});

test(`a batch that somebody removed or changed is found, seeds ${from} to ${to}`, async () => {
  for (let seed = from; seed <= to; seed++) await runExternalSimulation({ seed, damage: true });
});

test("one seed, one run", async () => {
  expect(await runExternalSimulation({ seed: 7 })).toEqual(await runExternalSimulation({ seed: 7 }));
});

const noLoss = { requestsLost: 0, answersLost: 0, requestsLate: 0 };

/** Within how many seeds each is seen, and what makes it show. */
const mutations: readonly (readonly [ExternalMutation, number, Partial<ExternalSimulationOptions>])[] = [
  ["unknown-taken-for-failure", 3, { faults: { answersLost: 100 } }],
  ["unknown-taken-for-success", 3, { faults: { requestsLost: 100 } }],
  ["moved-batch-resent-without-check", 20, { faults: { requestsLate: 300, lateMsMax: 1500, timeoutMs: 100 } }],
  ["hint-trusted", 3, { faults: { hintsWrong: 300, hintsMissed: 0 } }],
  ["hole-passed", 3, { damage: true }],
  ["tail-from-cache", 3, {}],
  ["seal-ignored-in-append-condition", 60, { seal: true, faults: { delayMsMax: 30, ...noLoss } }],
];

test.each(mutations)("%s is seen within %d seeds", async (mutation, seedsMax, options) => {
  for (let seed = 1; seed <= seedsMax; seed++) {
    const failure = await runExternalSimulation({ seed, mutation, ...options }).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (failure !== undefined) return;
    // Without the bug the same seed is a good run; so it is the bug that is seen.
    await runExternalSimulation({ seed, ...options });
  }
  expect.unreachable(`no seed of ${seedsMax} sees ${mutation}`);
});
