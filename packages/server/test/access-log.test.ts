/** The access-log parser, the generator, the independent count. */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { SeededRandom } from "@quipu/core";
import { expect, test } from "vitest";
import { formatAccessLogLine, generateHits } from "../src/access-log/generator.ts";
import { parseAccessLogLine } from "../src/access-log/parser.ts";
import { Tally } from "../src/access-log/tally.ts";

const time = "[17/May/2015:10:05:03 +0000]";

test.each([
  ["combined", `83.149.9.216 - - ${time} "GET /a?b=c HTTP/1.1" 200 203023 "http://x/" "Mozilla/5.0 (X; Y)"`, "/a?b=c"],
  ["common", `83.149.9.216 - - ${time} "GET /a HTTP/1.0" 200 -`, "/a"],
  ["with a user", `83.149.9.216 - frank ${time} "GET /a HTTP/1.0" 200 5`, "/a"],
  ["a user with a blank", `83.149.9.216 - frank miller ${time} "GET /a HTTP/1.0" 200 5`, "/a"],
  ["escaped quotes", `83.149.9.216 - - ${time} "GET /a\\"b HTTP/1.0" 200 5 "-" "\\"agent\\""`, '/a\\"b'],
  ["a request without protocol", `83.149.9.216 - - ${time} "GET /old" 200 5`, "/old"],
  ["no request at all", `83.149.9.216 - - ${time} "-" 200 0 "-" "-"`, "-"],
])("%s", (_name, line, expectedPath) => {
  expect(parseAccessLogLine(line)).toEqual({ client: "83.149.9.216", path: expectedPath, status: "200" });
});

test("IPv6 clients and host names", () => {
  expect(parseAccessLogLine(`2001:db8::1 - - ${time} "GET / HTTP/1.1" 404 0`)?.client).toBe("2001:db8::1");
  expect(parseAccessLogLine(`host.example - - ${time} "GET / HTTP/1.1" 404 0`)?.status).toBe("404");
});

test.each([
  ["empty", ""],
  ["words", "not an access log at all"],
  ["no request", `1.1.1.1 - - ${time} 200 5`],
  ["a cut line", `1.1.1.1 - - ${time} "GET /a HTT`],
  ["a status of letters", `1.1.1.1 - - ${time} "GET /a HTTP/1.1" abc 5`],
  ["a line of a megabyte", `1.1.1.1 - - ${time} "GET /${"a".repeat(1_000_000)} HTTP/1.1" 200 5`],
])("refused: %s", (_name, line) => {
  expect(parseAccessLogLine(line)).toBeUndefined();
});

test("a hostile line takes no time", () => {
  const started = performance.now();
  parseAccessLogLine(`a - ${"[".repeat(30_000)}${"] ".repeat(15_000)}`);
  parseAccessLogLine(`a - - ${time} "${"\\".repeat(60_000)}`);
  expect(performance.now() - started).toBeLessThan(2000);
});

test("generated hits are the same for the same seed, Zipf-distributed, and parse back", () => {
  const hits = (seed: number): string[] =>
    [...generateHits({ random: new SeededRandom(seed), hits: 20_000, paths: 1000, clients: 500 })].map(
      formatAccessLogLine,
    );
  const lines = hits(7);
  expect(hits(7)).toEqual(lines);
  expect(hits(8)).not.toEqual(lines);
  const tally = new Tally("t:");
  for (const line of lines) {
    const hit = parseAccessLogLine(line);
    expect(hit).toBeDefined();
    if (hit !== undefined) tally.add(hit);
  }
  const [first, second, third] = tally.top("path", 3).map(([, count]) => Number(count));
  // 1 : 1/2 : 1/3 of 20,000 / H(1000); the tolerance is ten standard deviations.
  expect(first).toBeGreaterThan(2300);
  expect(first).toBeLessThan(3050);
  expect((first ?? 0) / (second ?? 1)).toBeCloseTo(2, 0);
  expect((first ?? 0) / (third ?? 1)).toBeCloseTo(3, 0);
  expect(tally.top("status", 1)[0]?.[0]).toBe("200");
  const total = [...tally.counts.values()].reduce((sum, count) => sum + count, 0n);
  expect(total).toBe(60_000n);
});

const shared = process.env["QUIPU_SHARED"] ?? path.resolve(import.meta.dirname, "../../../../shared");
const realLog = path.join(shared, "data", "access.log");

test.skipIf(!existsSync(realLog))("every line of a real log parses, and counts as awk counts", () => {
  const lines = readFileSync(realLog, "utf8").trimEnd().split("\n");
  const tally = new Tally("");
  for (const line of lines) {
    const hit = parseAccessLogLine(line);
    expect(hit, line).toBeDefined();
    if (hit === undefined) continue;
    // awk '{print $7}', as the note beside the data says; the first field is the client.
    expect([hit.client, hit.path]).toEqual([line.split(" ")[0], line.split(" ")[6]]);
    tally.add(hit);
  }
  expect(tally.top("path", 1)).toEqual([["/favicon.ico", 807n]]);
});

if (!existsSync(realLog)) console.log(`skipped: no real access log at ${path.relative(process.cwd(), realLog)}`);
