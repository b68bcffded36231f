/**
 * Random exploration: no seed fails as the core is, and with each deliberate bug some seed fails soon. Were the harness
 * to go blind, a mutation would live longer than its number of seeds.
 */
import { describe, expect, test } from "vitest";
import type { MultiPaxosMutation } from "../../src/multi-paxos/mutation.ts";
import { explore } from "./exploration.ts";

const steps = 3000;
const seeds = 150;

/** Seeds within which each bug must be seen: about four times what it took when this was written, at least 40. */
const mutations: Readonly<Record<MultiPaxosMutation, number>> = {
  "own-value-although-one-was-reported": 40,
  "no-noop-fill": 60,
  "promise-not-durable": 40,
  "accept-not-durable": 40,
  "leader-counts-itself-early": 40,
  "trimmed-acceptor-says-empty": 40,
  "accepts-below-promise": 40,
  "ballot-without-node": 40,
  "stale-higher-slots-kept": 40,
  "barrier-without-quorum": 40,
  "barrier-reused": 60,
  "read-before-recovered": 40,
  "phase-1-quorum-too-small": 40,
  "phase-1-takes-half-an-answer": 40,
  "reported-lower-ballot-wins": 40,
  "seal-forgotten-in-phase-1": 130,
  "chosen-in-another-ballot": 40,
  "install-forgets-accepted": 80,
  "proposes-behind-seal": 40,
};

describe("exploration", () => {
  test(`${seeds} seeds of ${steps} steps break nothing, and meet everything`, () => {
    const seen = new Map<string, number>();
    for (let seed = 1; seed <= seeds; seed++) {
      const result = explore(seed, steps);
      expect(result.failure, `seed ${seed}`).toBeUndefined();
      for (const [what, count] of result.seen) seen.set(what, (seen.get(what) ?? 0) + count);
    }
    // A seed that never elects or fills a gap proves nothing about elections or gaps.
    const least = { leader: 1500, commit: 8000, truncate: 100, noop: 40, restart: 80, trim: 700, barrierReady: 1000 };
    for (const [what, count] of Object.entries(least)) expect(seen.get(what), what).toBeGreaterThan(count);
  });

  test("the same seed does the same twice, message by message; another one does something else", () => {
    expect(explore(7, steps)).toEqual(explore(7, steps));
    expect(explore(8, steps).traceHash).not.toBe(explore(7, steps).traceHash);
  });

  test.each(Object.entries(mutations) as [MultiPaxosMutation, number][])(
    "%s is seen within %i seeds",
    (mutation, max) => {
      for (let seed = 1; seed <= max; seed++) {
        if (explore(seed, steps, mutation).failure !== undefined) return;
      }
      expect.unreachable(`${mutation} was not seen`);
    },
  );
});
