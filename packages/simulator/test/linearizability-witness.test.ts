/** The check by position agrees with brute force over the orders that the positions leave open. */
import { type Random, SeededRandom } from "@quipu/core";
import { expect, test } from "vitest";
import type { HistoryOperation } from "../src/linearizability/history.ts";
import { keyModel } from "../src/linearizability/models.ts";
import { searchLinearization } from "../src/linearizability/search.ts";
import { checkWitness } from "../src/linearizability/witness.ts";
import { asked, draw, type Drawing, drawTrue, hasLinearization } from "./linearizability-brute-force.ts";

const small = (random: Random): number => random.below(3);

const unitAdds: Drawing = {
  judge: { initial: 0, byPosition: true },
  operationsMax: 7,
  ask: (random) => (random.chance(1, 3) ? asked({ kind: "read" }) : asked({ kind: "add", argument: 1 })),
  isTold: (random) => random.chance(3, 4),
  unknownPercent: 30,
};

const everything: Drawing = {
  judge: { initial: null, byPosition: true },
  operationsMax: 6,
  ask: (random) => {
    switch (random.below(6)) {
      case 0:
      case 1:
        return asked({ kind: "add", argument: random.below(5) - 2 });
      case 2:
        return asked({ kind: "set", argument: small(random) });
      case 3:
        return random.chance(1, 2)
          ? asked({ kind: "delete" })
          : asked({ kind: "compare-and-set", argument: { expected: small(random), next: small(random) } });
      default:
        return asked({ kind: "read" });
    }
  },
  isTold: () => true,
  unknownPercent: 25,
};

/** Positions of changes must differ; brute force does not know that. */
function hasTwoAtOnePlace(history: readonly HistoryOperation[]): boolean {
  const places = history
    .filter(({ kind, result, position }) => position !== undefined && kind !== "read" && result !== false)
    .map(({ position }) => position?.lsn);
  return new Set(places).size < places.length;
}

test.each([
  ["unit adds", unitAdds, 0],
  ["every kind", everything, 1_000],
])("the check by position agrees with brute force: %s", (_, drawing, gaveUpMax) => {
  const random = new SeededRandom(1);
  const model = keyModel({ initial: drawing.judge.initial });
  const verdicts = { linearizable: 0, "not-linearizable": 0, "gave-up": 0 };
  for (let round = 0; round < 20_000; round++) {
    const history = draw(random, drawing);
    if (hasTwoAtOnePlace(history)) continue;
    const verdict = checkWitness(history, { model });
    verdicts[verdict.type] += 1;
    if (verdict.type === "gave-up") continue;
    const expected = hasLinearization(history, drawing.judge) ? "linearizable" : "not-linearizable";
    if (verdict.type !== expected) expect({ round, history, verdict }).toBe(expected);
  }
  expect(verdicts.linearizable).toBeGreaterThan(5_000);
  expect(verdicts["not-linearizable"]).toBeGreaterThan(3_000);
  expect(verdicts["gave-up"]).toBeLessThanOrEqual(gaveUpMax);
});

test("on long histories, what passes by position passes the search, and what was drawn true passes both", () => {
  const random = new SeededRandom(3);
  const model = keyModel({ initial: 0 });
  const verdicts = { linearizable: 0, "not-linearizable": 0, "gave-up": 0 };
  for (let round = 0; round < 500; round++) {
    const drawing = { ...unitAdds, operationsMax: 80, unknownPercent: 3, reachMax: 9 };
    const isTrue = random.chance(1, 4);
    const history = isTrue ? drawTrue(random, drawing) : draw(random, drawing);
    const verdict = checkWitness(history, { model });
    verdicts[verdict.type] += 1;
    if (isTrue) expect(verdict.type).toBe("linearizable");
    if (verdict.type === "linearizable") expect(searchLinearization(history, { model }).type).toBe("linearizable");
  }
  expect(verdicts.linearizable).toBeGreaterThan(150);
  expect(verdicts["not-linearizable"]).toBeGreaterThan(150);
});

function add(process: number, times: readonly [number, number], result: number, lsn: number): HistoryOperation {
  const [invokedAt, returnedAt] = times;
  return { kind: "add", argument: 1, result, process, key: "k", invokedAt, returnedAt, position: { lsn, index: 0 } };
}

test("one increment counted twice, one lost, two at one place, one too late: each named with its partner", () => {
  const first = add(1, [0, 1], 1, 1);
  const cases: readonly (readonly [HistoryOperation, RegExp])[] = [
    [add(2, [2, 3], 1, 2), /the value is 1, from which add 1 -> 1 does not follow/],
    [add(2, [2, 3], 3, 2), /the value is 1, from which add 1 -> 3 does not follow/],
    [add(2, [2, 3], 2, 1), /two changes have one position/],
    [add(2, [-3, -2], 2, 2), /returned before it was invoked/],
  ];
  for (const [second, why] of cases) {
    const verdict = checkWitness([second, first]);
    expect(verdict).toMatchObject({ type: "not-linearizable", contradicting: [first, second] });
    expect("why" in verdict && verdict.why).toMatch(why);
  }
});

test("a read of a whole record sees all of it; two of them at one place are no contradiction", () => {
  const first = { ...add(1, [0, 5], 1, 7), position: { lsn: 7, index: 0 } };
  const second = { ...add(2, [0, 5], 2, 7), position: { lsn: 7, index: 1 } };
  const end = { lsn: 7, index: Number.POSITIVE_INFINITY };
  const read = (result: number): HistoryOperation => {
    return { kind: "read", result, process: 3, key: "k", invokedAt: 0, returnedAt: 5, position: end };
  };
  expect(checkWitness([read(2), second, read(2), first]).type).toBe("linearizable");
  expect(checkWitness([read(1), second, first])).toMatchObject({ contradicting: [second, { kind: "read" }] });
});

test("an answered change without a position is not passed over", () => {
  const verdict = checkWitness([{ ...add(1, [0, 1], 1, 1), position: undefined }]);
  expect(verdict.type).toBe("gave-up");
});
