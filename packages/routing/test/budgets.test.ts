/** The retry budget holds over every stretch of time; the quantile follows what is usual. */
import { SeededRandom } from "@quipu/core";
import { LatencyQuantile, RetryBudget } from "@quipu/routing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

describe("RetryBudget", () => {
  test("over every stretch: at most burst + share of requests + so many per second", () => {
    const event = fc.record({ ms: fc.nat(400), requests: fc.nat(8), retries: fc.nat(20) });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (script) => {
        const options = { share: 0.25, perSecond: 10, tokensMax: 16 };
        const budget = new RetryBudget(options, 0);
        const made: { readonly nowMs: number; readonly requests: number; readonly retries: number }[] = [];
        let nowMs = 0;
        for (const { ms, requests, retries } of script) {
          nowMs += ms;
          for (let request = 0; request < requests; request++) budget.deposit();
          let granted = 0;
          for (let retry = 0; retry < retries; retry++) if (budget.withdraw(nowMs)) granted++;
          made.push({ nowMs, requests, retries: granted });
        }
        for (let from = 0; from < made.length; from++) {
          let requests = 0;
          let retries = 0;
          for (let to = from; to < made.length; to++) {
            requests += made[to]?.requests ?? 0;
            retries += made[to]?.retries ?? 0;
            const seconds = ((made[to]?.nowMs ?? 0) - (made[from]?.nowMs ?? 0)) / 1000;
            expect(retries).toBeLessThanOrEqual(16 + requests * 0.25 + seconds * 10 + 1e-6);
          }
        }
      }),
    );
  });

  test("grants what it says it affords", () => {
    const budget = new RetryBudget({ share: 0.5, perSecond: 1, tokensMax: 3 }, 0);
    expect(budget.affords(3, 0)).toBe(true);
    expect(budget.affords(4, 0)).toBe(false);
    expect([1, 2, 3, 4].map(() => budget.withdraw(0))).toEqual([true, true, true, false]);
    budget.deposit();
    expect(budget.withdraw(0)).toBe(false);
    budget.deposit();
    expect(budget.withdraw(0)).toBe(true);
    expect(budget.withdraw(999)).toBe(false);
    expect(budget.withdraw(1000)).toBe(true);
    // A clock that stands still or is read late gives nothing away.
    expect(budget.withdraw(500)).toBe(false);
  });
});

describe("LatencyQuantile", () => {
  test("is within a quarter of the true quantile", () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.constantFrom(10, 100, 500), (seed, perMille) => {
        const random = new SeededRandom(seed);
        const quantile = new LatencyQuantile();
        const samples = Array.from({ length: 1000 }, () => (1 + random.below(1000)) / 2);
        for (const sample of samples) quantile.record(sample);
        samples.sort((a, b) => b - a);
        const exact = samples[perMille] as number;
        expect(quantile.slowest(perMille)).toBeGreaterThanOrEqual(exact);
        expect(quantile.slowest(perMille)).toBeLessThanOrEqual(exact * 1.26);
      }),
    );
  });

  test("forgets; knows nothing in the beginning; takes any latency", () => {
    const quantile = new LatencyQuantile();
    expect(quantile.slowest(10)).toBe(0);
    for (let sample = 0; sample < 1000; sample++) quantile.record(1_000_000);
    expect(quantile.slowest(10)).toBeGreaterThan(60_000);
    for (let sample = 0; sample < 10_000; sample++) quantile.record(0);
    expect(quantile.slowest(10)).toBeLessThan(1);
  });
});
