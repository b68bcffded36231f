/** Balancing: fairness, ejection and slow start by property; convergence on a model of slow and failing servers. */
import { SeededRandom } from "@quipu/core";
import {
  type Balancer,
  consecutiveFailuresMax,
  createBalancer,
  ejectedMax,
  ejectionFirstMs,
  ejectionMaxMs,
  type EndpointTraits,
  type PolicyName,
  policyNames,
  rateWindowMs,
  slowStartMs,
} from "@quipu/routing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

function make(policy: PolicyName, traits: readonly EndpointTraits[], seed = 1, zone?: string): Balancer {
  const balancer = createBalancer({ policy, random: new SeededRandom(seed), zone });
  for (const each of traits) balancer.add(each);
  return balancer;
}

const plain = (count: number): EndpointTraits[] => Array.from({ length: count }, () => ({}));

/** Fails it until it is ejected; true if it was. */
function fail(balancer: Balancer, index: number, nowMs: number): boolean {
  for (let failure = 0; failure < consecutiveFailuresMax; failure++) {
    balancer.started(index);
    balancer.finished(index, "failed", 1, nowMs);
  }
  return balancer.isEjected(index, nowMs);
}

interface ModelServer {
  readonly latencyMs: number;
  /** Of a hundred requests so many fail. */
  readonly failing?: number;
}

/** A closed loop of callers in virtual time. Returns how many requests each server got. */
function converge(balancer: Balancer, servers: readonly ModelServer[], callers = 12, requests = 6000): number[] {
  const random = new SeededRandom(9);
  const counts = servers.map(() => 0);
  const busy: { dueMs: number; index: number; latencyMs: number }[] = [];
  let nowMs = 0;
  const begin = (): void => {
    const index = balancer.pick(nowMs) as number;
    const { latencyMs } = servers[index] as ModelServer;
    counts[index] = (counts[index] ?? 0) + 1;
    balancer.started(index);
    const jittered = latencyMs * (0.9 + random.below(200) / 1000);
    busy.push({ dueMs: nowMs + jittered, index, latencyMs: jittered });
  };
  for (let caller = 0; caller < callers; caller++) begin();
  for (let request = callers; request < requests; request++) {
    busy.sort((a, b) => b.dueMs - a.dueMs);
    const { dueMs, index, latencyMs } = busy.pop() as (typeof busy)[0];
    nowMs = dueMs;
    const failed = random.chance(servers[index]?.failing ?? 0, 100);
    balancer.finished(index, failed ? "failed" : "succeeded", latencyMs, nowMs);
    begin();
  }
  return counts;
}

describe("fairness", () => {
  test.each(policyNames.filter((name) => name !== "locality"))("%s: equal servers get equal shares", (name) => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 6 }), fc.nat(1000), (count, seed) => {
        const servers = plain(count).map(() => ({ latencyMs: 2 }));
        const counts = converge(make(name, plain(count), seed), servers, 12, 3000);
        for (const got of counts) expect(Math.abs(got - 3000 / count)).toBeLessThan((3000 / count) * 0.25);
      }),
      { numRuns: 20 },
    );
  });

  test("round-robin: in turn, whoever is left out meanwhile", () => {
    const balancer = make("round-robin", plain(3));
    expect([1, 2, 3, 4].map(() => balancer.pick(0))).toEqual([0, 1, 2, 0]);
    balancer.setUp(1, false, 0);
    expect([1, 2, 3].map(() => balancer.pick(0))).toEqual([2, 0, 2]);
    balancer.setUp(1, true, 0);
    expect([1, 2, 3].map(() => balancer.pick(slowStartMs))).toEqual([0, 1, 2]);
  });

  test("weighted: exactly in proportion over each round, and spread within it", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }), (weights) => {
        const balancer = make(
          "weighted",
          weights.map((weight) => ({ weight })),
        );
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let round = 0; round < 3; round++) {
          const counts = weights.map(() => 0);
          for (let pick = 0; pick < total; pick++) {
            const index = balancer.pick(0) as number;
            counts[index] = (counts[index] ?? 0) + 1;
          }
          if (weights.length > 1) expect(counts).toEqual(weights);
        }
      }),
    );
    const balancer = make("weighted", [{ weight: 5 }, { weight: 1 }, { weight: 1 }]);
    // The example of nginx' commit: a a b a c a a.
    expect(Array.from({ length: 7 }, () => balancer.pick(0))).toEqual([0, 0, 1, 0, 2, 0, 0]);
  });

  test("locality: the own zone while it has anyone, then the others", () => {
    const balancer = make("locality", [{ zone: "a" }, { zone: "b" }, { zone: "b" }], 1, "b");
    for (let pick = 0; pick < 50; pick++) expect(balancer.pick(0)).not.toBe(0);
    balancer.setUp(1, false, 0);
    balancer.setUp(2, false, 0);
    expect(balancer.pick(0)).toBe(0);
  });

  test("least-outstanding and power-of-two-choices never prefer the busier of two", () => {
    for (const name of ["least-outstanding", "power-of-two-choices"] as const) {
      const balancer = make(name, plain(2));
      balancer.started(0);
      for (let pick = 0; pick < 50; pick++) expect(balancer.pick(0)).toBe(1);
    }
  });
});

describe("convergence", () => {
  const slow = [{ latencyMs: 2 }, { latencyMs: 2 }, { latencyMs: 40 }];

  test.each(["least-outstanding", "power-of-two-choices", "latency-aware"] as const)(
    "%s: a server twenty times slower gets few requests",
    (name) => {
      const [a = 0, b = 0, c = 0] = converge(make(name, plain(3)), slow);
      expect(c).toBeLessThan(6000 * 0.12);
      expect(c).toBeGreaterThan(0);
      expect(Math.abs(a - b)).toBeLessThan(6000 * 0.1);
    },
  );

  test("latency-aware leaves a slow server sooner than counting alone, and tries it again when it has faded", () => {
    const counts = (name: PolicyName): number => converge(make(name, plain(3)), slow, 3)[2] ?? 0;
    expect(counts("latency-aware")).toBeLessThan(counts("power-of-two-choices") / 4);
    const balancer = make("latency-aware", plain(2));
    balancer.started(0);
    balancer.finished(0, "succeeded", 100, 0);
    balancer.started(1);
    balancer.finished(1, "succeeded", 10, 0);
    expect(balancer.pick(1)).toBe(1);
    // The one in use is measured again and again; the other's latency fades until it is worth a try.
    for (let nowMs = 0; nowMs <= 200_000; nowMs += 100) {
      balancer.started(1);
      balancer.finished(1, "succeeded", 10, nowMs);
    }
    expect(balancer.pick(200_000)).toBe(0);
    // One bad latency counts at once.
    balancer.started(0);
    balancer.finished(0, "succeeded", 100, 200_000);
    expect(balancer.pick(200_001)).toBe(1);
  });

  test.each(policyNames)("%s: a server that fails everything, quickly, is left", (name) => {
    const counts = converge(make(name, plain(3)), [
      { latencyMs: 2 },
      { latencyMs: 2 },
      { latencyMs: 0.1, failing: 100 },
    ]);
    expect(counts[2]).toBeLessThan(6000 * 0.05);
    expect(counts[2]).toBeGreaterThan(0);
  });

  test("a server that fails half of its requests is ejected by its success rate, in a cell of three", () => {
    const servers = [{ latencyMs: 20 }, { latencyMs: 20 }, { latencyMs: 20, failing: 50 }];
    const even = converge(
      make("random", plain(3)),
      servers.map(({ latencyMs }) => ({ latencyMs })),
      12,
      30_000,
    );
    const uneven = converge(make("random", plain(3)), servers, 12, 30_000);
    expect(uneven[2]).toBeLessThan((even[2] ?? 0) * 0.75);
  });
});

type Step =
  | { readonly type: "pass"; readonly ms: number }
  | { readonly type: "use"; readonly failed: boolean }
  | { readonly type: "fail" | "up" | "down"; readonly index: number };

const steps = fc.array(
  fc.oneof(
    fc.record({ type: fc.constant("pass" as const), ms: fc.nat(3000) }),
    fc.record({ type: fc.constant("use" as const), failed: fc.boolean() }),
    fc.record({ type: fc.constantFrom("fail" as const, "up" as const, "down" as const), index: fc.nat(5) }),
  ),
  { maxLength: 120 },
);

/** Runs the steps and hands over each pick; used for the invariants and for determinism. */
function play(
  balancer: Balancer,
  count: number,
  script: readonly Step[],
  check: (pick: number | undefined, nowMs: number, up: readonly boolean[]) => void,
): void {
  let nowMs = 0;
  const up = Array.from({ length: count }, () => true);
  for (const step of script) {
    switch (step.type) {
      case "pass":
        nowMs += step.ms;
        break;
      case "fail":
        fail(balancer, step.index % count, nowMs);
        break;
      case "up":
      case "down":
        up[step.index % count] = step.type === "up";
        balancer.setUp(step.index % count, step.type === "up", nowMs);
        break;
      case "use": {
        const index = balancer.pick(nowMs);
        check(index, nowMs, up);
        if (index === undefined) break;
        balancer.started(index);
        balancer.finished(index, step.failed ? "failed" : "succeeded", 1, nowMs);
      }
    }
    const ejected = up.filter((_, index) => balancer.isEjected(index, nowMs)).length;
    expect(ejected).toBeLessThanOrEqual(ejectedMax(count));
  }
}

describe("invariants", () => {
  test.each(policyNames)("%s: no endpoint that is down, and no ejected one while others are left", (name) => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), steps, fc.nat(1000), (count, script, seed) => {
        const balancer = make(name, plain(count), seed);
        play(balancer, count, script, (pick, nowMs, up) => {
          if (pick === undefined) {
            expect(up.some(Boolean)).toBe(false);
            return;
          }
          expect(up[pick]).toBe(true);
          const healthyLeft = up.some((isUp, index) => isUp && !balancer.isEjected(index, nowMs));
          if (healthyLeft) expect(balancer.isEjected(pick, nowMs)).toBe(false);
        });
      }),
      { numRuns: 50 },
    );
  });

  test.each(policyNames)("%s: the same seed gives the same picks", (name) => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), steps, fc.nat(1000), (count, script, seed) => {
        const picks = (): (number | undefined)[] => {
          const made: (number | undefined)[] = [];
          play(make(name, plain(count), seed), count, script, (pick) => made.push(pick));
          return made;
        };
        expect(picks()).toEqual(picks());
      }),
      { numRuns: 20 },
    );
  });
});

describe("ejection", () => {
  test("at most half, and one always stays", () => {
    for (const count of [1, 2, 3, 4, 5]) {
      const balancer = make("random", plain(count));
      const ejected = plain(count).filter((_, index) => fail(balancer, index, 0)).length;
      expect(ejected).toBe(Math.floor(count / 2));
    }
  });

  test("each is twice as long as the one before, up to a limit; good windows win trust back", () => {
    const balancer = make("random", plain(2));
    let nowMs = 0;
    let expectedMs = ejectionFirstMs;
    for (let ejection = 0; ejection < 8; ejection++) {
      expect(fail(balancer, 0, nowMs)).toBe(true);
      expect(balancer.isEjected(0, nowMs + expectedMs - 1)).toBe(true);
      nowMs += expectedMs;
      expect(balancer.isEjected(0, nowMs)).toBe(false);
      expectedMs = Math.min(ejectionMaxMs, expectedMs * 2);
    }
    for (let window = 0; window < 12; window++) {
      nowMs += rateWindowMs;
      balancer.started(0);
      balancer.finished(0, "succeeded", 1, nowMs);
    }
    expect(fail(balancer, 0, nowMs)).toBe(true);
    expect(balancer.isEjected(0, nowMs + ejectionFirstMs)).toBe(false);
  });

  test("what failed before it, and is told later, does not lengthen it", () => {
    const balancer = make("random", plain(2));
    for (let request = 0; request < 3 * consecutiveFailuresMax; request++) balancer.started(0);
    for (let request = 0; request < 3 * consecutiveFailuresMax; request++) balancer.finished(0, "failed", 1, 0);
    expect(balancer.isEjected(0, ejectionFirstMs - 1)).toBe(true);
    expect(balancer.isEjected(0, ejectionFirstMs)).toBe(false);
  });
});

describe("slow start", () => {
  test.each(policyNames)("%s: who returns gets a growing share", (name) => {
    const balancer = make(name, plain(3));
    balancer.setUp(2, false, 0);
    balancer.setUp(2, true, 1000);
    const share = (nowMs: number): number => {
      let count = 0;
      for (let pick = 0; pick < 3000; pick++) if (balancer.pick(nowMs) === 2) count++;
      return count / 3000;
    };
    expect(share(1000)).toBeLessThan(0.06);
    const half = share(1000 + slowStartMs / 2);
    expect(half).toBeGreaterThan(0.1);
    expect(half).toBeLessThan(0.24);
    expect(share(1000 + slowStartMs)).toBeGreaterThan(0.29);
  });
});
