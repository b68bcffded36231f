import { cellMutationCases, runCellMutation } from "../src/mod.ts";
import { test } from "vitest";
test("m", async () => {
  const one = cellMutationCases.find(({ name }) => name.includes("snapshot-chunk-unchecked"));
  for (const first of [1, 1001, 2001]) {
    const r = await runCellMutation(one as never, 150, first);
    console.log("RESULT", first, JSON.stringify(r).slice(0, 200));
  }
}, 1_000_000);
