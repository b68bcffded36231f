/** Safety in disorder and progress after it, over many seeds; and that the check can see, by deliberate bugs. */
import { InvariantViolation } from "@quipu/core";
import type { RaftMutation } from "@quipu/consensus";
import { describe, expect, test } from "vitest";
import { runChaos } from "./core-chaos.ts";
import { SafetyViolation } from "./core-disk.ts";

const seeds = Number(process.env["QUIPU_CORE_SEEDS"] ?? 300);
const from = Number(process.env["QUIPU_CORE_FROM"] ?? 1);

test(`${seeds} seeds keep every invariant and make progress once all is well`, () => {
  let chosen = 0;
  for (let seed = from; seed < from + seeds; seed++) {
    try {
      chosen += runChaos(seed).chosenUpTo;
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  // Disorder that stops everything would prove nothing.
  expect(chosen).toBeGreaterThan(seeds * 10);
});

const mutations: readonly RaftMutation[] = [
  "vote-not-persisted",
  "acknowledge-before-persist",
  "leader-counts-itself-early",
  "commit-old-term-by-counting",
  "truncate-matching-suffix",
  "vote-ignores-log",
  "two-votes-per-term",
  "read-before-own-term-commit",
  "read-without-quorum",
  "barrier-reused",
  "joint-quorum-of-new-only",
  "learner-counted",
  "configuration-kept-after-truncation",
  "seal-not-final",
  "stale-acknowledgement",
  "restart-forgets-configuration",
  "commit-beyond-match",
  "change-before-own-term-commit",
];
const mutantSeedsMax = Number(process.env["QUIPU_CORE_MUTANT_SEEDS"] ?? 1000);

describe("a deliberate bug is seen", () => {
  test.each(mutations)("%s", (mutation) => {
    for (let seed = 1; seed <= mutantSeedsMax; seed++) {
      try {
        runChaos(seed, mutation);
      } catch (error) {
        expect(error).toSatisfy((e) => e instanceof SafetyViolation || e instanceof InvariantViolation);
        if (process.env["QUIPU_CORE_VERBOSE"] !== undefined) console.log(mutation, seed, (error as Error).message);
        return;
      }
    }
    expect.unreachable(`${mutation} was not seen in ${mutantSeedsMax} seeds`);
  });
});
