/** A short form of `npm run chaos`: real processes, a fixed series of faults, exact counts and linearizable histories. */
import { checkHistory } from "@quipu/simulator";
import { expect, test } from "vitest";
import { type Fault, faults, runChaos } from "quipu/testing";
import { temporaryDirectory } from "./temporary.ts";

const directory = temporaryDirectory();

/** One of each kind that has few seconds of its own. */
const series = ["kill the leader", "planned transfer", "flapping links", "failing disk", "block an event loop"];

test("a cell under faults counts exactly, and what its clients saw is linearizable", { timeout: 180_000 }, async () => {
  const lines: string[] = [];
  const result = await runChaos({
    directory,
    seed: 5,
    seconds: 15,
    nodes: 3,
    print: (line) => void lines.push(line),
    series: series.map((name) => faults.find((fault) => fault.name === name) as Fault),
  });
  expect(result.problems, lines.join("\n")).toEqual([]);
  expect(result.events.map(({ what }) => what)).toEqual(series);
  expect(result.acknowledged).toBeGreaterThan(100);
  expect(result.history.length).toBeGreaterThan(100);
  expect(checkHistory(result.history, { initial: null })).toEqual({ type: "linearizable" });
});
