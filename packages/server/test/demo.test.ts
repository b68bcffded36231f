/** The demo in a short form: kills, restarts, pauses, compares. */
import { existsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { DemoResources, type DemoResult, runDemo } from "../src/testing/demo/demo.ts";
import { temporaryDirectory } from "./temporary.ts";

const opened: DemoResources[] = [];
afterAll(() => {
  for (const resources of opened) resources.dispose();
});

async function demo(input?: string): Promise<{ readonly result: DemoResult; readonly printed: string }> {
  const resources = new DemoResources();
  opened.push(resources);
  const printed: string[] = [];
  const output = { write: (text: string) => printed.push(text) };
  const options = { hits: 2000, seed: 1, output };
  const result = await runDemo(input === undefined ? options : { ...options, input }, resources);
  resources.dispose();
  expect(existsSync(resources.directory)).toBe(false);
  return { result, printed: printed.join("") };
}

test("2,000 generated hits through a kill, a restart and a pause: every counter equal", async () => {
  const { result, printed } = await demo();
  expect(result).toMatchObject({ hits: 2000, linesRefused: 0, surplusKeys: 0, differences: [] });
  expect(result.events.map(({ what }) => what.replaceAll(/n\d/g, "nX"))).toEqual([
    "kill -9 of nX, the leader",
    "nX is started again",
    "SIGSTOP of nX, which leads now, for 3 s",
  ]);
  for (const { afterHits } of result.events) expect(afterHits).toBeLessThan(2000);
  expect(result.counters).toBeGreaterThan(500);
  expect(result.topPaths[0]).toMatchObject({ path: "/", found: result.topPaths[0]?.expected });
  expect(printed.match(/longest time without a successful write/g)).toHaveLength(3);
});

test("a file of one's own, with lines that are no access log", async () => {
  const line = (client: number, target: string): string =>
    `10.0.0.${client} - - [17/May/2015:10:05:03 +0000] "GET ${target} HTTP/1.1" 200 5 "-" "-"`;
  const lines = Array.from({ length: 400 }, (_, index) => line(index % 9, `/${index % 13}`));
  lines[17] = "not a line of a log";
  const file = path.join(temporaryDirectory(), "access.log");
  writeFileSync(file, lines.join("\n"));
  const { result } = await demo(file);
  expect(result).toMatchObject({ hits: 399, linesRefused: 1, surplusKeys: 0, differences: [] });
  expect(result.counters).toBe(9 + 13 + 1);
});
