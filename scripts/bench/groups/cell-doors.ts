/**
 * Group `cell`: the unchanged redis-benchmark through the leader's and through a follower's door of our cell, against a
 * single redis-server with an AOF synced always. After every run of increments the counters must have grown by exactly
 * the requests that redis-benchmark saw answered.
 */
import { Redis } from "ioredis";
import { interleaved } from "../pairs.ts";
import { type QuipuCell, startCell } from "../peers/quipu-cell.ts";
import { startRedisWithReplicas } from "../peers/redis.ts";
import { type BenchOptions, heading, row } from "../report.ts";
import { rate } from "./single-servers.ts";

const keysOfRandomLoad = 100_000;
const keysPerRead = 1_000;
/** So that one run takes two to four seconds. */
const requestsAt: Readonly<Record<number, number>> = { 1: 100_000, 16: 600_000, 64: 1_500_000 };

interface DoorLoad {
  readonly depth: number;
  /** 1: redis-benchmark's own key. */
  readonly keys: number;
  readonly target: string;
}

/** One hot key, then 100,000 random ones; the issue sets no target at depth 1 for the latter. */
const incrementLoads: readonly DoorLoad[] = [
  { depth: 1, keys: 1, target: "0.35" },
  { depth: 16, keys: 1, target: "0.5" },
  { depth: 64, keys: 1, target: "0.7" },
  { depth: 1, keys: keysOfRandomLoad, target: "–" },
  { depth: 16, keys: keysOfRandomLoad, target: "0.3" },
  { depth: 64, keys: keysOfRandomLoad, target: "0.3" },
];

export async function benchmarkCellDoors(options: BenchOptions): Promise<void> {
  const cell = await startCell(options.nodes);
  try {
    const redis = await startRedisWithReplicas(0);
    try {
      await throughDoors(cell, redis.ports[0] ?? 0, options);
    } finally {
      await redis.stop();
    }
  } finally {
    await cell.stop();
  }
}

async function throughDoors(cell: QuipuCell, redisPort: number, { pairs, scale }: BenchOptions): Promise<void> {
  for (const { name, port } of await doors(cell)) {
    heading(`${cell.name}, ${name}: redis-benchmark -c 50`, "single redis, AOF always");
    for (const { depth, keys, target } of incrementLoads) {
      const requests = requestsOf(depth, scale);
      const summary = await interleaved(
        pairs,
        () => countedRate(port, depth, keys, requests),
        () => countedRate(redisPort, depth, keys, requests),
      );
      row(`INCR -P ${depth}, ${keys === 1 ? "one key" : "100,000 keys"}`, summary, target);
    }
    for (const depth of [1, 16, 64]) {
      const load = ["-t", "get", "-c", "50", "-P", String(depth), "-n", String(requestsOf(depth, scale))];
      const summary = await interleaved(
        pairs,
        () => rate(port, load),
        () => rate(redisPort, load),
      );
      row(`GET -P ${depth}, linearizable`, summary, "0.4");
    }
  }
}

async function doors(cell: QuipuCell): Promise<readonly { readonly name: string; readonly port: number }[]> {
  const leader = await cell.leader();
  if (leader === undefined) throw new Error("the nodes do not agree on a leader");
  const [follower] = await cell.followers();
  const leaderDoor = { name: "the leader's door", port: cell.port(leader) };
  return follower === undefined ? [leaderDoor] : [leaderDoor, { name: "a follower's door", port: cell.port(follower) }];
}

/** A whole number of pipelines: redis-benchmark sends no partial one. */
function requestsOf(depth: number, scale: number): number {
  return Math.max(1, Math.round(((requestsAt[depth] ?? 0) * scale) / depth)) * depth;
}

async function countedRate(port: number, depth: number, keys: number, requests: number): Promise<number> {
  const reader = new Redis({ port, host: "127.0.0.1" });
  try {
    const before = await sumOfCounters(reader, keys);
    const common = ["-t", "incr", "-c", "50", "-P", String(depth), "-n", String(requests)];
    const perSecond = await rate(port, keys === 1 ? common : [...common, "-r", String(keys)]);
    const added = (await sumOfCounters(reader, keys)) - before;
    if (added !== BigInt(requests)) {
      throw new Error(`port ${port}, INCR -P ${depth}: ${requests} acknowledged, the counters grew by ${added}`);
    }
    return perSecond;
  } finally {
    reader.disconnect();
  }
}

/** redis-benchmark counts in `counter:__rand_int__`, which it fills in only for random keys. */
async function sumOfCounters(reader: Redis, keys: number): Promise<bigint> {
  const names =
    keys === 1
      ? ["counter:__rand_int__"]
      : Array.from({ length: keys }, (_, index) => `counter:${String(index).padStart(12, "0")}`);
  let total = 0n;
  for (let at = 0; at < names.length; at += keysPerRead) {
    for (const value of await reader.mget(...names.slice(at, at + keysPerRead))) total += BigInt(value ?? "0");
  }
  return total;
}
