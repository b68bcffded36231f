/** The search agrees with brute force, on every kind of operation, and with verdicts that others recorded. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { type Random, SeededRandom } from "@quipu/core";
import { expect, test } from "vitest";
import { beginningOf, type HistoryOperation } from "../src/linearizability/history.ts";
import { keyModel } from "../src/linearizability/models.ts";
import { readKnossosHistory, readPorcupineHistory } from "../src/linearizability/recorded-histories.ts";
import { searchLinearization } from "../src/linearizability/search.ts";
import { asked, draw, type Drawing, drawTrue, hasLinearization } from "./linearizability-brute-force.ts";

const small = (random: Random): number => random.below(3);
const amount = (random: Random): number => random.below(5) - 2;

const counters: Drawing = {
  judge: { initial: 0 },
  operationsMax: 6,
  ask: (random) => (random.chance(1, 2) ? asked({ kind: "read" }) : asked({ kind: "add", argument: amount(random) })),
  isTold: (random, { kind }) => kind === "read" || random.chance(1, 2),
  unknownPercent: 25,
};

const everything: Drawing = {
  judge: { initial: null, maximum: 3 },
  operationsMax: 6,
  ask: (random) => {
    switch (random.below(6)) {
      case 0:
        return asked({ kind: "add", argument: amount(random) });
      case 1:
        return asked({ kind: "set", argument: small(random) });
      case 2:
        return asked({ kind: "delete" });
      case 3: {
        const expected = random.chance(1, 4) ? null : small(random);
        return asked({ kind: "compare-and-set", argument: { expected, next: small(random) } });
      }
      default:
        return asked({ kind: "read" });
    }
  },
  isTold: (random) => random.chance(4, 5),
  unknownPercent: 20,
};

const texts: Drawing = {
  judge: { initial: null },
  operationsMax: 6,
  ask: (random) =>
    random.chance(1, 2)
      ? asked({ kind: "read" })
      : asked({ kind: "append", argument: "ab"[random.below(2)] as string }),
  isTold: () => true,
  unknownPercent: 20,
};

test.each([
  ["counters with amounts of both signs", counters],
  ["every kind, with bounds", everything],
  ["texts", texts],
])("the search agrees with brute force: %s", (_, drawing) => {
  const random = new SeededRandom(1);
  const { initial, maximum } = drawing.judge;
  const model = keyModel({ initial, ...(maximum === undefined ? {} : { maximum }) });
  const verdicts = { linearizable: 0, "not-linearizable": 0, "gave-up": 0 };
  for (let round = 0; round < 20_000; round++) {
    const history = draw(random, drawing);
    const expected = hasLinearization(history, drawing.judge) ? "linearizable" : "not-linearizable";
    const verdict = searchLinearization(history, { model });
    if (verdict.type !== expected) expect({ round, history, verdict }).toBe(expected);
    verdicts[verdict.type] += 1;
  }
  expect(verdicts.linearizable).toBeGreaterThan(5_000);
  expect(verdicts["not-linearizable"]).toBeGreaterThan(1_500);
});

test("what it did not refute in time is neither linearizable nor not", () => {
  // Unlike adds without answers: any subset may be the sum.
  const history: HistoryOperation[] = Array.from({ length: 24 }, (_, i) => ({
    ...asked({ kind: "add", argument: 2 ** i * 2 }),
    returnedAt: undefined,
  }));
  history.push({ ...asked({ kind: "read" }), result: 2 ** 23 + 1, invokedAt: 1, returnedAt: 2 } as HistoryOperation);
  const verdict = searchLinearization(history, { model: keyModel({ initial: 0 }), stepsMax: 5_000 });
  expect(verdict.type).toBe("gave-up");
});

test("a sequential history of 50,000 operations on one key is no problem for the stack", () => {
  const history = Array.from({ length: 50_000 }, (_, i) => ({
    ...asked({ kind: "add", argument: 1 }),
    result: i + 1,
    invokedAt: 2 * i,
    returnedAt: 2 * i + 1,
  })) as HistoryOperation[];
  expect(searchLinearization(history, { model: keyModel({ initial: 0 }) }).type).toBe("linearizable");
});

test("the explanation names the operation that nothing explains", () => {
  const at = (invokedAt: number, returnedAt: number): object => ({ invokedAt, returnedAt });
  const history = [
    { ...asked({ kind: "set", argument: 0 }), ...at(0, 1) },
    { ...asked({ kind: "read" }), result: 3, ...at(2, 4) },
    { ...asked({ kind: "set", argument: 4 }), ...at(3, 5) },
    { ...asked({ kind: "read" }), result: 4, ...at(6, 7) },
  ] as HistoryOperation[];
  const verdict = searchLinearization(history, { model: keyModel({ initial: 0 }) });
  expect(verdict).toMatchObject({ type: "not-linearizable", contradicting: [{ kind: "read", result: 3 }] });
});

test("a beginning of a linearizable history is linearizable", () => {
  const random = new SeededRandom(2);
  for (let round = 0; round < 1_000; round++) {
    const history = beginningOf(drawTrue(random, counters), random.below(18));
    expect(searchLinearization(history, { model: keyModel({ initial: 0 }) }).type).toBe("linearizable");
  }
});

const recorded = path.resolve(import.meta.dirname, "../../../../shared/histories");
const isRecorded = existsSync(recorded);
if (!isRecorded) console.log("skipped: the recorded histories are not beside the repository (../shared/histories)");

function filesIn(folder: string): readonly string[] {
  if (!isRecorded) return [];
  return readdirSync(path.join(recorded, folder))
    .filter((name) => /\.(?:edn|txt)$/.test(name))
    .map((name) => path.join(folder, name));
}

const knossosFiles = [...filesIn("knossos-cas-register/good"), ...filesIn("knossos-cas-register/bad")];
const porcupineFiles = filesIn("porcupine-kv");

test.skipIf(!isRecorded)("recorded histories: every verdict on Knossos' registers is right", () => {
  expect(knossosFiles.length).toBeGreaterThan(20);
  for (const file of knossosFiles) {
    const history = readKnossosHistory(readFileSync(path.join(recorded, file), "utf8"));
    const verdict = searchLinearization(history, { model: keyModel({ initial: 0 }) });
    expect({ file, type: verdict.type }).toEqual({
      file,
      type: /\bbad\b/.test(file) ? "not-linearizable" : "linearizable",
    });
  }
});

test.skipIf(!isRecorded)("recorded histories: every verdict on Porcupine's key-value store is right", () => {
  expect(porcupineFiles.length).toBe(6);
  for (const file of porcupineFiles) {
    const history = readPorcupineHistory(readFileSync(path.join(recorded, file), "utf8"));
    const verdict = searchLinearization(history, { model: keyModel({ initial: "" }) });
    expect({ file, type: verdict.type }).toEqual({
      file,
      type: /\bbad\b/.test(file) ? "not-linearizable" : "linearizable",
    });
  }
});
