/** `quipu replay FILE`: counts a web server's access log into a server. */
import { statSync } from "node:fs";
import { QuipuError } from "@quipu/core";
import type { Client } from "@quipu/client";
import { Command, InvalidArgumentError, Option } from "commander";
import { countHits } from "../access-log/count-hits.ts";
import { FileProgress, readHits } from "../access-log/file.ts";
import { type HitField, hitFields } from "../access-log/parser.ts";
import { counterKey, Tally } from "../access-log/tally.ts";
import { connectTo } from "./endpoint.ts";
import { endpointOption, outputOption, type OutputForm, printResult } from "./output.ts";
import { Progress } from "./terminal/progress.ts";
import { formatCount, formatTable } from "./terminal/table.ts";

interface ReplayOptions {
  readonly endpoint: string;
  readonly field: HitField;
  readonly prefix: string;
  readonly top: number;
  readonly output: OutputForm;
}

interface ReplayResult {
  readonly hits: number;
  readonly linesRefused: number;
  readonly firstRefused: FileProgress["firstRefused"];
  readonly seconds: number;
  readonly hitsPerSecond: number;
  readonly top: readonly { readonly value: string; readonly key: string; readonly count: string }[];
}

export function replayCommand(): Command {
  return new Command("replay")
    .description("count a web server's access log (Common or Combined Log Format)")
    .argument("<FILE>", "the log")
    .addOption(new Option("--field <FIELD>", "what of each hit to count").choices(hitFields).default("path"))
    .option("--prefix <TEXT>", "what every key begins with, as in hits:path:/index.html", "hits:")
    .option("--top <N>", "how many of the largest to show", parseCount, 10)
    .addOption(endpointOption("http://host:port of the server, or quipu://host:port"))
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Each hit is one add, counted once, however often the connection breaks meanwhile.
Counting the same file twice counts it twice. The table shows what the server holds.

Examples:
  quipu replay access.log --field path
  quipu replay access.log --field status --output json
  redis-cli -p 7379 GET hits:path:/index.html`,
    )
    .action(runReplay);
}

function parseCount(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError("expected a whole number, 0 or more");
  return value;
}

async function runReplay(file: string, options: ReplayOptions): Promise<void> {
  const fileBytes = sizeOf(file);
  const client = await connectTo(options.endpoint, process.env);
  try {
    const result = await replay(client, file, fileBytes, options);
    printResult(options.output, result, () => describe(file, options, result));
  } finally {
    await client.close();
  }
}

function sizeOf(file: string): number {
  try {
    const stats = statSync(file);
    if (!stats.isDirectory()) return stats.size;
  } catch (cause) {
    throw new QuipuError("INVALID_CONFIGURATION", `cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
  throw new QuipuError("INVALID_CONFIGURATION", `${file} is a directory`);
}

async function replay(client: Client, file: string, fileBytes: number, options: ReplayOptions): Promise<ReplayResult> {
  const progress = new FileProgress();
  const bar = new Progress({
    label: "counting",
    output: process.stderr,
    nowMs: () => performance.now(),
    // A pipe has no size: then only the count is shown.
    ...(fileBytes > 0 ? { share: () => progress.bytesRead / fileBytes } : {}),
  });
  const startMs = performance.now();
  // Only to know which counters to read back for the table.
  const tally = new Tally(options.prefix, [options.field]);
  const hits = await countHits({
    client,
    hits: tap(readHits(file, progress), (hit) => tally.add(hit)),
    fields: [options.field],
    prefix: options.prefix,
    onProgress: (count) => bar.update(count),
  });
  bar.finish(hits);
  const seconds = (performance.now() - startMs) / 1000;
  const top = await Promise.all(
    tally.top(options.field, options.top).map(async ([value]) => {
      const key = counterKey(options.prefix, options.field, value);
      return { value, key, count: (await client.counter(key).get()).toString() };
    }),
  );
  const { linesRefused, firstRefused } = progress;
  return { hits, linesRefused, firstRefused, seconds, hitsPerSecond: Math.round(hits / seconds), top };
}

async function* tap<T>(items: AsyncIterable<T>, see: (item: T) => void): AsyncGenerator<T> {
  for await (const item of items) {
    see(item);
    yield item;
  }
}

function describe(file: string, options: ReplayOptions, result: ReplayResult): string {
  const lines = [
    formatTable(
      [{ title: "count", align: "right" }, { title: options.field }],
      result.top.map(({ value, count }) => [formatCount(BigInt(count)), value]),
    ),
    "",
    `${formatCount(result.hits)} hits of ${file} in ${result.seconds.toFixed(1)} s (${formatCount(result.hitsPerSecond)}/s)`,
  ];
  if (result.firstRefused !== undefined) {
    const { line, text } = result.firstRefused;
    lines.push(`${formatCount(result.linesRefused)} lines are no access log and were left out; line ${line}: ${text}`);
  }
  return lines.join("\n");
}
