/** Groups `incr` and `get`: the unchanged redis-benchmark against a single process of ours and against redis. */
import { interleaved } from "../pairs.ts";
import { heading, row } from "../report.ts";
import { rate, requestsOf, type SingleServers } from "./single-servers.ts";

export async function benchmarkIncrements({ quipu, redis, pairs, scale }: SingleServers): Promise<void> {
  heading("redis-benchmark -t incr -c 50", "redis");
  const targets: Readonly<Record<number, string>> = { 1: "0.8", 16: "1.0", 64: "1.0" };
  for (const depth of [1, 16, 64]) {
    for (const spreadOver of [[], ["-r", "100000"]]) {
      const load = ["-t", "incr", "-c", "50", "-P", String(depth), "-n", requestsOf(depth, scale), ...spreadOver];
      const summary = await interleaved(
        pairs,
        () => rate(quipu.port, load),
        () => rate(redis.port, load),
      );
      row(`INCR -P ${depth} ${spreadOver.length > 0 ? "100,000 keys" : "one key"}`, summary, targets[depth] ?? "");
    }
  }
}

export async function benchmarkReads({ quipu, redis, pairs, scale }: SingleServers): Promise<void> {
  heading("redis-benchmark -t get -c 50", "redis");
  for (const depth of [1, 16, 64]) {
    const load = ["-t", "get", "-c", "50", "-P", String(depth), "-n", requestsOf(depth, scale)];
    const summary = await interleaved(
      pairs,
      () => rate(quipu.port, load),
      () => rate(redis.port, load),
    );
    row(`GET -P ${depth}`, summary, "0.7");
  }
}
