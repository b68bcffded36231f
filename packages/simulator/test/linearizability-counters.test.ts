/** The black box checks for counters agree with brute force, and with the search on histories too long for that. */
import { type Random, SeededRandom } from "@quipu/core";
import { expect, test } from "vitest";
import { checkAddAndGet } from "../src/linearizability/add-and-get.ts";
import { checkBlindAdds } from "../src/linearizability/blind-adds.ts";
import type { HistoryOperation } from "../src/linearizability/history.ts";
import { keyModel } from "../src/linearizability/models.ts";
import { searchLinearization } from "../src/linearizability/search.ts";
import type { Verdict } from "../src/linearizability/verdict.ts";
import { asked, draw, type Drawing, hasLinearization } from "./linearizability-brute-force.ts";

function drawing(change: Partial<Drawing>, amountOf: (random: Random) => number): Drawing {
  return {
    judge: { initial: 0 },
    operationsMax: 7,
    ask: (random) =>
      random.chance(2, 5) ? asked({ kind: "read" }) : asked({ kind: "add", argument: amountOf(random) }),
    isTold: () => true,
    unknownPercent: 25,
    ...change,
  };
}

const isRead = (_: Random, { kind }: HistoryOperation): boolean => kind === "read";
const unitAddAndGet = drawing({}, () => 1);
const unlikeAddAndGet = drawing({ unknownPercent: 10 }, (random) => 1 + random.below(3));
const blindUnitAdds = drawing({ isTold: isRead }, () => 1);
const blindDecrements = drawing({ isTold: isRead, judge: { initial: 7 } }, () => -2);

interface Case {
  readonly name: string;
  readonly drawing: Drawing;
  readonly check: (history: readonly HistoryOperation[]) => Verdict;
  readonly gaveUpMax: number;
}

const cases: readonly Case[] = [
  { name: "add-and-get, units", drawing: unitAddAndGet, check: (history) => checkAddAndGet(history), gaveUpMax: 0 },
  {
    name: "add-and-get, unlike amounts",
    drawing: unlikeAddAndGet,
    check: (history) => checkAddAndGet(history),
    gaveUpMax: 1_000,
  },
  { name: "blind adds, units", drawing: blindUnitAdds, check: (history) => checkBlindAdds(history), gaveUpMax: 0 },
  {
    name: "blind adds, minus two from seven",
    drawing: blindDecrements,
    check: (history) => checkBlindAdds(history, { initial: 7 }),
    gaveUpMax: 0,
  },
];

test.each(cases)("agrees with brute force on 30,000 small histories: $name", ({ drawing: kind, check, gaveUpMax }) => {
  const random = new SeededRandom(1);
  const verdicts = { linearizable: 0, "not-linearizable": 0, "gave-up": 0 };
  for (let round = 0; round < 30_000; round++) {
    const history = draw(random, kind);
    const verdict = check(history);
    verdicts[verdict.type] += 1;
    if (verdict.type === "gave-up") continue;
    const expected = hasLinearization(history, kind.judge) ? "linearizable" : "not-linearizable";
    if (verdict.type !== expected) expect({ round, history, verdict }).toBe(expected);
  }
  expect(verdicts.linearizable).toBeGreaterThan(7_500);
  expect(verdicts["not-linearizable"]).toBeGreaterThan(4_000);
  expect(verdicts["gave-up"]).toBeLessThanOrEqual(gaveUpMax);
});

test.each(cases)("agrees with the search on long histories: $name", ({ drawing: kind, check }) => {
  const random = new SeededRandom(2);
  const verdicts = { linearizable: 0, "not-linearizable": 0, "gave-up": 0 };
  for (let round = 0; round < 1_000; round++) {
    const history = draw(random, { ...kind, operationsMax: 60, unknownPercent: 3, reachMax: 9 });
    const verdict = check(history);
    if (verdict.type === "gave-up") continue;
    const opinion = searchLinearization(history, { model: keyModel(kind.judge), stepsMax: 100_000 });
    verdicts[opinion.type] += 1;
    if (opinion.type === "gave-up") continue;
    if (verdict.type !== opinion.type) expect({ round, history, verdict }).toBe(opinion);
  }
  expect(verdicts.linearizable).toBeGreaterThan(150);
  expect(verdicts["not-linearizable"]).toBeGreaterThan(150);
  expect(verdicts["gave-up"]).toBeLessThan(50);
});

function at(call: HistoryOperation, invokedAt: number, returnedAt: number | undefined): HistoryOperation {
  return { ...call, invokedAt, returnedAt };
}

function added(result: number | undefined, argument: number = 1): HistoryOperation {
  return { ...asked({ kind: "add", argument }), result } as HistoryOperation;
}

function read(result: number | null): HistoryOperation {
  return { ...asked({ kind: "read" }), result } as HistoryOperation;
}

test("add-and-get names what contradicts", () => {
  const first = at(added(1), 0, 1);
  const stale = at(read(0), 2, 3);
  const twice = at(added(1), 0, 3);
  const tooFar = at(added(3), 2, 3);
  expect(checkAddAndGet([first, stale])).toMatchObject({ type: "not-linearizable", contradicting: [stale, first] });
  expect(checkAddAndGet([first, twice])).toMatchObject({ type: "not-linearizable", contradicting: [first, twice] });
  expect(checkAddAndGet([first, tooFar])).toMatchObject({ type: "not-linearizable", contradicting: [first, tooFar] });
  expect(checkAddAndGet([first, at(added(undefined), 0, undefined), tooFar])).toEqual({ type: "linearizable" });
  expect(checkAddAndGet([first, at(added(undefined), 4, undefined), tooFar]).type).toBe("not-linearizable");
});

test("blind adds: a read that went back, one that saw too much, one that saw too little", () => {
  const add = at(added(undefined), 0, 1);
  const [early, late] = [at(read(1), 2, 3), at(read(0), 4, 5)];
  expect(checkBlindAdds([add, early, late])).toMatchObject({ contradicting: [early, late] });
  expect(checkBlindAdds([add, at(read(2), 2, 3)]).type).toBe("not-linearizable");
  const tooLittle = at(read(null), 2, 3);
  expect(checkBlindAdds([add, tooLittle])).toMatchObject({ contradicting: [add, tooLittle] });
  expect(checkBlindAdds([at(added(undefined), 0, undefined), tooLittle]).type).toBe("linearizable");
});

test("what a check does not understand it does not judge", () => {
  expect(checkAddAndGet([at(added(undefined), 0, 1)]).type).toBe("gave-up");
  expect(checkAddAndGet([at(added(-1, -1), 0, 1)]).type).toBe("gave-up");
  expect(checkBlindAdds([at(added(1), 0, 1)]).type).toBe("gave-up");
  expect(checkBlindAdds([at(added(undefined), 0, 1), at(added(undefined, 2), 0, 1)]).type).toBe("gave-up");
  expect(checkBlindAdds([asked({ kind: "delete" })]).type).toBe("gave-up");
});

test("values beyond 2^53 stay exact", () => {
  const initial = 2n ** 60n;
  const history = [
    { ...at(added(undefined), 0, 1), result: initial + 1n },
    { ...at(added(undefined), 2, 3), result: initial + 2n },
  ] as HistoryOperation[];
  expect(checkAddAndGet(history, { initial }).type).toBe("linearizable");
  expect(checkAddAndGet(history, { initial: initial - 1n }).type).toBe("not-linearizable");
  const seen = { ...at(read(0), 2, 3), result: initial + 1n } as HistoryOperation;
  expect(checkBlindAdds([at(added(undefined), 0, 1), seen], { initial }).type).toBe("linearizable");
});
