/**
 * Random exploration: no seed fails as the core is, and with each deliberate bug some seed fails soon. Were the harness
 * to go blind, a mutation would live longer than its number of seeds.
 */
import { describe, expect, test } from "vitest";
import type { RaftMutation } from "../../src/raft/mutation.ts";
import { explore } from "./exploration.ts";

const steps = 3000;
const seeds = 150;

/** Seeds within which each bug must be seen: four times what it took when this was written, at least 40. */
const mutations: Readonly<Record<RaftMutation, number>> = {
  "vote-not-persisted": 40,
  "acknowledge-before-persist": 40,
  "leader-counts-itself-early": 40,
  "commit-old-term-by-counting": 40,
  "truncate-matching-suffix": 40,
  "vote-ignores-log": 40,
  "two-votes-per-term": 40,
  "read-before-own-term-commit": 40,
  "read-without-quorum": 40,
  "barrier-reused": 40,
  "joint-quorum-of-new-only": 40,
  "learner-counted": 40,
  "configuration-kept-after-truncation": 40,
  "seal-not-final": 80,
  "stale-acknowledgement": 100,
  "restart-forgets-configuration": 40,
  "commit-beyond-match": 40,
  "change-before-own-term-commit": 40,
};

describe("exploration", () => {
  test(`${seeds} seeds of ${steps} steps break nothing, and meet everything`, () => {
    const seen = new Map<string, number>();
    for (let seed = 1; seed <= seeds; seed++) {
      const result = explore(seed, steps);
      expect(result.failure, `seed ${seed}`).toBeUndefined();
      for (const [what, count] of result.seen) seen.set(what, (seen.get(what) ?? 0) + count);
    }
    // A seed that never elects or truncates proves nothing about elections or truncation.
    const least = { leader: 700, commit: 8000, truncate: 150, joint: 200, restart: 50, trim: 700, barrierReady: 2000 };
    for (const [what, count] of Object.entries(least)) expect(seen.get(what), what).toBeGreaterThan(count);
  });

  test("the same seed does the same twice, message by message; another one does something else", () => {
    expect(explore(7, steps)).toEqual(explore(7, steps));
    expect(explore(8, steps).traceHash).not.toBe(explore(7, steps).traceHash);
  });

  test.each(Object.entries(mutations) as [RaftMutation, number][])("%s is seen within %i seeds", (mutation, max) => {
    for (let seed = 1; seed <= max; seed++) {
      if (explore(seed, steps, mutation).failure !== undefined) return;
    }
    expect.unreachable(`${mutation} was not seen`);
  });
});
