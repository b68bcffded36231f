/** Groups `clients` and `latency`: Node clients against a single process of ours and against redis. */
import { type LoadReport, runLoad } from "../load-report.ts";
import { interleaved, spread } from "../pairs.ts";
import { heading, print, row, withRange } from "../report.ts";
import type { SingleServers } from "./single-servers.ts";

type Kind = "ioredis" | "sdk";

async function load(kind: Kind, port: number, callers: number, keys: number, scale: number): Promise<LoadReport> {
  return await runLoad({ client: kind, ports: [port], callers, keys, seconds: 2 * scale });
}

export async function benchmarkClients({ quipu, redis, pairs, scale }: SingleServers): Promise<void> {
  heading("Node clients, closed loop, every counter read back and equal", "theirs");
  for (const callers of [64, 1024]) {
    for (const keys of [1, 100_000]) {
      const rate = async (kind: Kind, port: number): Promise<number> =>
        (await load(kind, port, callers, keys, scale)).requestsPerSecond;
      const where = `${callers} callers, ${keys} counter(s)`;
      row(
        `ioredis on ours / ioredis on redis, ${where}`,
        await interleaved(
          pairs,
          () => rate("ioredis", quipu.port),
          () => rate("ioredis", redis.port),
        ),
        "1.0",
      );
      row(
        `SDK with sessions / ioredis on ours, ${where}`,
        await interleaved(
          pairs,
          () => rate("sdk", quipu.port),
          () => rate("ioredis", quipu.port),
        ),
        "0.7",
      );
    }
  }
}

export async function benchmarkLatency({ quipu, redis, pairs, scale }: SingleServers): Promise<void> {
  print("\n### One caller\n\n| client | p50 ms: median (range) | p99 ms | target p50 |\n|---|--:|--:|--:|");
  for (const [kind, server] of [
    ["sdk", quipu],
    ["ioredis", quipu],
    ["ioredis", redis],
  ] as const) {
    const reports: LoadReport[] = [];
    for (let pair = 0; pair < pairs; pair++) reports.push(await load(kind, server.port, 1, 1, scale));
    const p50 = spread(reports.map((report) => report.p50Ms));
    const p99 = spread(reports.map((report) => report.p99Ms));
    print(`| ${kind} on ${server.name} | ${withRange(p50, 3)} | ${p99.median.toFixed(3)} | < 0.5 |`);
  }
}
