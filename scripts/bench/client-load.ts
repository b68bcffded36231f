/**
 * A closed loop of callers in one Node process, through ioredis (auto-pipelining) or the SDK (sessions). Started as
 * a child by the benchmark; prints one line of JSON. Afterwards every counter is read back: their sum must be
 * exactly the acknowledged increments.
 */
import { parseArgs } from "node:util";
import { SeededRandom } from "@quipu/core";
import { connect as connectQuipu } from "@quipu/client";
import { Redis } from "ioredis";

const { values } = parseArgs({
  options: {
    client: { type: "string", default: "sdk" },
    port: { type: "string", default: "7379" },
    callers: { type: "string", default: "64" },
    keys: { type: "string", default: "1" },
    seconds: { type: "string", default: "3" },
    prefix: { type: "string", default: "bench" },
  },
});

interface Load {
  increment(key: string): Promise<unknown>;
  read(keys: readonly string[]): Promise<readonly bigint[]>;
  close(): Promise<unknown>;
}

async function open(): Promise<Load> {
  const port = Number(values.port);
  if (values.client === "ioredis") {
    const redis = new Redis({ port, host: "127.0.0.1", enableAutoPipelining: true });
    return {
      increment: (key) => redis.incr(key),
      read: async (keys) => (await redis.mget(...keys)).map((text) => BigInt(text ?? "0")),
      close: () => redis.quit(),
    };
  }
  const client = await connectQuipu(`quipu://127.0.0.1:${port}`);
  return {
    increment: (key) => client.counter(key).add(1),
    read: (keys) => Promise.all(keys.map((key) => client.counter(key).get())),
    close: () => client.close(),
  };
}

const callers = Number(values.callers);
const keyCount = Number(values.keys);
const keys = Array.from({ length: keyCount }, (_, index) => `${values.prefix}:${String(index).padStart(8, "0")}`);
const random = new SeededRandom(7);
const load = await open();

async function sum(): Promise<bigint> {
  let total = 0n;
  for (let at = 0; at < keys.length; at += 1000) {
    for (const value of await load.read(keys.slice(at, at + 1000))) total += value;
  }
  return total;
}

const before = await sum();
const latenciesMs: number[] = [];
let acknowledged = 0;
const warmUpMs = 500;
const startMs = performance.now() + warmUpMs;
const endMs = startMs + Number(values.seconds) * 1000;
let counted = 0;

async function caller(): Promise<void> {
  for (;;) {
    const begunMs = performance.now();
    if (begunMs >= endMs) return;
    await load.increment(keys[keyCount === 1 ? 0 : random.below(keyCount)] as string);
    acknowledged += 1;
    if (begunMs >= startMs) {
      counted += 1;
      if (counted % 16 === 0 || callers === 1) latenciesMs.push(performance.now() - begunMs);
    }
  }
}

await Promise.all(Array.from({ length: callers }, caller));
const elapsedSeconds = (performance.now() - startMs) / 1000;
const counters = (await sum()) - before;
await load.close();
latenciesMs.sort((left, right) => left - right);
const quantile = (share: number): number => latenciesMs[Math.floor(latenciesMs.length * share)] ?? Number.NaN;
process.stdout.write(
  `${JSON.stringify({
    requestsPerSecond: counted / elapsedSeconds,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    exact: counters === BigInt(acknowledged),
  })}\n`,
);
