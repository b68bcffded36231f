/** A replica that applies something differently is found by the other replicas, not by the simulator. */
import { expect, test } from "vitest";
import { cellMutationCases, runCellMutation } from "../src/mod.ts";

test("replicas find the one whose state drifts", async () => {
  const drift = cellMutationCases.find(({ name }) => name === "state-drifts-on-one-node");
  if (drift === undefined) throw new Error("there is no such mutation");
  const seen: (string | undefined)[] = [];
  for (let seed = 1; seed <= 100 && !seen.includes("state-diverged"); seed++) {
    seen.push((await runCellMutation(drift, 1, seed)).caughtBy);
  }
  expect(seen).toContain("state-diverged");
}, 240_000);
