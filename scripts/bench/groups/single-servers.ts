/** The two servers of the single-process groups, and the sizes of the loads they get. */
import type { BenchServer } from "../servers.ts";
import type { BenchOptions } from "../report.ts";
import { redisBenchmark } from "../redis-benchmark.ts";

export interface SingleServers extends BenchOptions {
  readonly quipu: BenchServer;
  readonly redis: BenchServer;
}

/** At each pipelining depth, so that one run takes two to four seconds. */
const requestsAt: Readonly<Record<number, number>> = { 1: 150_000, 16: 1_000_000, 64: 2_000_000 };

export function requestsOf(depth: number, scale: number): string {
  return String(Math.round((requestsAt[depth] ?? 1_000_000) * scale));
}

export async function rate(port: number, arguments_: readonly string[]): Promise<number> {
  return (await redisBenchmark(port, arguments_)).requestsPerSecond;
}
