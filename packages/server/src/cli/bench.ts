/** `quipu bench`: a quick load through the SDK. `npm run bench` is the careful one. */
import type { Client } from "@quipu/client";
import { Command, InvalidArgumentError } from "commander";
import { connectTo } from "./endpoint.ts";
import { LatencyHistogram } from "./latency-histogram.ts";
import { endpointOption, outputOption, type OutputForm, printResult } from "./output.ts";
import { formatCount, formatPairs } from "./terminal/table.ts";

interface BenchOptions {
  readonly endpoint: string;
  readonly callers: number;
  readonly keys: number;
  readonly seconds: number;
  readonly output: OutputForm;
}

interface BenchResult {
  readonly callers: number;
  readonly keys: number;
  readonly adds: number;
  readonly seconds: number;
  readonly addsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Callers are promises of one client; beyond this they only measure this process. */
const callersMax = 16_384;
const keysMax = 1_000_000;
const secondsMax = 3600;

export function benchCommand(): Command {
  return new Command("bench")
    .description("measure how fast a server counts: adds of 1 through the SDK, each waiting for its answer")
    .option("--callers <N>", "callers at the same time", within(1, callersMax), 64)
    .option("--keys <N>", "counters that they add to in turn", within(1, keysMax), 1000)
    .option("--seconds <N>", "how long", within(1, secondsMax), 5)
    .addOption(endpointOption("http://host:port of the server, or quipu://host:port"))
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Counters named bench:... are made and removed again.

Examples:
  quipu bench
  quipu bench --callers 1 --keys 1 --seconds 3 --output json`,
    )
    .action(async (options: BenchOptions) => {
      const client = await connectTo(options.endpoint, process.env);
      try {
        const result = await bench(client, options);
        printResult(options.output, result, () => describe(result));
      } finally {
        await client.close();
      }
    });
}

function within(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`expected a whole number from ${least} to ${most}`);
  };
}

async function bench(client: Client, options: BenchOptions): Promise<BenchResult> {
  const run = process.pid.toString(36) + Math.floor(performance.timeOrigin).toString(36);
  const keys = Array.from({ length: options.keys }, (_, index) => `bench:${run}:${index}`);
  const latencies = new LatencyHistogram();
  const startMs = performance.now();
  const endMs = startMs + options.seconds * 1000;
  let next = 0;
  const caller = async (): Promise<void> => {
    for (;;) {
      const beginMs = performance.now();
      if (beginMs >= endMs) return;
      await client.counter(keys[next++ % keys.length] as string).add(1);
      latencies.record(performance.now() - beginMs);
    }
  };
  await Promise.all(Array.from({ length: options.callers }, caller));
  const seconds = (performance.now() - startMs) / 1000;
  await removeAll(client, keys);
  return {
    callers: options.callers,
    keys: options.keys,
    adds: latencies.count,
    seconds,
    addsPerSecond: Math.round(latencies.count / seconds),
    p50Ms: latencies.quantile(0.5),
    p99Ms: latencies.quantile(0.99),
    maxMs: latencies.maximum,
  };
}

/** Deletions in one go; below the SDK's limit of open operations. */
const deletionsOpenMax = 10_000;

async function removeAll(client: Client, keys: readonly string[]): Promise<void> {
  for (let start = 0; start < keys.length; start += deletionsOpenMax) {
    await Promise.all(keys.slice(start, start + deletionsOpenMax).map((key) => client.counter(key).delete()));
  }
}

function describe(result: BenchResult): string {
  return formatPairs([
    ["load", `${formatCount(result.callers)} callers, ${formatCount(result.keys)} counters`],
    ["adds", `${formatCount(result.adds)} in ${result.seconds.toFixed(1)} s`],
    ["rate", `${formatCount(result.addsPerSecond)}/s`],
    ["p50", `${result.p50Ms.toFixed(2)} ms`],
    ["p99", `${result.p99Ms.toFixed(2)} ms`],
    ["longest", `${result.maxMs.toFixed(2)} ms`],
  ]);
}
