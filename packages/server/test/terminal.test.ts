/** Tables, progress, latency figures, suggestions. */
import { expect, test } from "vitest";
import { LatencyHistogram } from "../src/cli/latency-histogram.ts";
import { Progress } from "../src/cli/terminal/progress.ts";
import { formatCount, formatTable } from "../src/cli/terminal/table.ts";
import { suggestion } from "../src/config/suggest.ts";

test("a table aligns, cuts what is long in the middle, and lets nothing move the cursor", () => {
  const table = formatTable(
    [{ title: "count", align: "right" }, { title: "path" }],
    [
      ["1,234", "/a"],
      ["5", `/${"x".repeat(100)}/end`],
      ["6", "\u001b[2Jgone\r\nnext\u0007"],
    ],
  ).split("\n");
  expect(table[0]).toBe("count  path");
  expect(table[2]).toBe("1,234  /a");
  expect(table[3]).toMatch(/^ {4}5 {2}\/x+…x+\/end$/);
  expect(table[4]).toBe("    6  gone??next?");
  expect(table.map((line) => line.length).every((length) => length <= 80)).toBe(true);
});

test("counts have separators", () => {
  expect([0, 999, 1000, 1234567].map(formatCount)).toEqual(["0", "999", "1,000", "1,234,567"]);
  expect(formatCount(-9223372036854775808n)).toBe("-9,223,372,036,854,775,808");
});

function progress(isTTY: boolean): { readonly bar: Progress; readonly written: string[]; at(ms: number): void } {
  const written: string[] = [];
  let nowMs = 0;
  const output = { isTTY, columns: 80, write: (text: string) => written.push(text) };
  const bar = new Progress({ label: "counting", total: 1000, output, nowMs: () => nowMs });
  return { bar, written, at: (ms) => (nowMs = ms) };
}

test("on a terminal the bar is redrawn in place, ten times a second", () => {
  const { bar, written, at } = progress(true);
  bar.update(1);
  expect(written).toEqual([]);
  at(100);
  bar.update(500);
  expect(written.join("")).toMatch(/^counting \[#{14}\.{14}\] 500 of 1,000 {2}5,000\/s$/);
  at(150);
  bar.update(501);
  expect(written).toHaveLength(1);
  bar.note("killed");
  expect(written.join("")).toContain("\r\u001b[2Kkilled\n");
  bar.finish(1000);
  expect(written.at(-1)).toBe("\n");
});

test("elsewhere it is a plain line now and then", () => {
  const { bar, written, at } = progress(false);
  at(1999);
  bar.update(1);
  expect(written).toEqual([]);
  at(2000);
  bar.update(500);
  bar.note("killed");
  bar.finish(1000);
  expect(written).toEqual(["counting: 500 of 1,000, 250/s\n", "killed\n", "counting: 1,000 of 1,000, 500/s\n"]);
});

test("quantiles are within the width of a bucket", () => {
  const latencies = new LatencyHistogram();
  expect(latencies.quantile(0.5)).toBe(0);
  for (let count = 1; count <= 1000; count++) latencies.record(count / 10);
  expect(latencies.count).toBe(1000);
  expect(latencies.maximum).toBe(100);
  expect(latencies.quantile(0.5) / 50).toBeCloseTo(1, 1);
  expect(latencies.quantile(0.99) / 99).toBeCloseTo(1, 1);
  expect(latencies.quantile(1)).toBeLessThanOrEqual(100);
  latencies.record(0);
  expect(latencies.quantile(0.0001)).toBeLessThan(0.0011);
});

test("a slip of the fingers finds its word, another word finds none", () => {
  const known = ["resp-port", "http-port", "data"];
  expect(suggestion("resp-prot", known)).toBe("; did you mean resp-port?");
  expect(suggestion("dta", known)).toBe("; did you mean data?");
  expect(suggestion("retention", known)).toBe("");
  expect(suggestion("", known)).toBe("");
});
