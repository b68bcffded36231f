/** Group `cpu`: CPU seconds of a single server per million increments of one key. */
import { spread } from "../pairs.ts";
import { redisBenchmark } from "../redis-benchmark.ts";
import { print, withRange } from "../report.ts";
import { type BenchServer, cpuSeconds } from "../servers.ts";
import { requestsOf, type SingleServers } from "./single-servers.ts";

export async function benchmarkCpu({ quipu, redis, pairs, scale }: SingleServers): Promise<void> {
  print("\n### CPU seconds of the server per million increments\n\n| load | ours | redis |\n|---|--:|--:|");
  for (const depth of [1, 16, 64]) {
    const requests = requestsOf(depth, scale);
    const load = ["-t", "incr", "-c", "50", "-P", String(depth), "-n", requests];
    const figures: string[] = [];
    for (const server of [quipu, redis]) {
      const seconds: number[] = [];
      for (let pair = 0; pair < pairs; pair++) seconds.push(await cpuPerMillion(server, load, Number(requests)));
      figures.push(withRange(spread(seconds), 2));
    }
    print(`| INCR -P ${depth}, one key | ${figures.join(" | ")} |`);
  }
}

async function cpuPerMillion(server: BenchServer, load: readonly string[], count: number): Promise<number> {
  const before = await cpuSeconds(server.pid);
  await redisBenchmark(server.port, load);
  return ((await cpuSeconds(server.pid)) - before) / (count / 1e6);
}
