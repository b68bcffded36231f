import { expect, test } from "vitest";
import { OpenRuns } from "../src/open-runs.ts";
import { bytes } from "./bench.ts";

test("after 2^31 ends no run of an older generation comes back, and every key still finds a place", () => {
  const runs = new OpenRuns(7, 0x7fff_fffe);
  const find = (key: string): number => runs.find(0, bytes(key), 0, key.length);
  expect(find("hot")).toBe(-1);
  runs.open(1, 0, 0);
  for (let add = 0; add < 50; add++) runs.raise(find("hot")); // Folding pays: it is not given up below.
  runs.end();
  for (let generation = 0; generation < 4; generation++) {
    for (let index = 0; index < 500; index++) {
      expect(find(`k${index}`)).toBe(-1);
      runs.open(1, index, index);
    }
    expect(runs.command(find("k77"))).toBe(77);
    runs.end();
  }
});
