/**
 * Group `cell-cpu`: CPU seconds of all servers together per million acknowledged increments, children included, client
 * not. The same callers for everyone; what a server burns while it waits for them counts too.
 */
import type { ClientKind } from "../clients/open-client.ts";
import { runLoad } from "../load-report.ts";
import { spread } from "../pairs.ts";
import { startEtcd } from "../peers/etcd.ts";
import type { Peer } from "../peers/processes.ts";
import { startCell } from "../peers/quipu-cell.ts";
import { startRedisWithReplicas } from "../peers/redis.ts";
import { startZooKeeper } from "../peers/zookeeper.ts";
import { type BenchOptions, print, withRange } from "../report.ts";

const secondsPerRun = 4;
const loads = [
  { callers: 64, keys: 1 },
  { callers: 1024, keys: 1 },
  { callers: 64, keys: 1000 },
] as const;

export async function benchmarkCellCpu(options: BenchOptions): Promise<void> {
  print("\n### CPU seconds of all servers per million increments: median (range)\n");
  print(
    "| store | client | 64 callers, one counter | 1,024 callers, one counter | 64 callers, 1,000 zipfian counters |",
  );
  print("|---|---|--:|--:|--:|");
  const stores: readonly (readonly [ClientKind, () => Promise<Peer>])[] = [
    ["sdk", () => startCell(options.nodes)],
    ["ioredis", () => startRedisWithReplicas(0)],
    ["redis-wait-batch", () => startRedisWithReplicas(2)],
    ["etcd-lock", startEtcd],
    ["zookeeper-lock", startZooKeeper],
  ];
  for (const [client, start] of stores) {
    const peer = await start();
    try {
      const cells: string[] = [];
      for (const load of loads) cells.push(await cpuPerMillion(peer, client, load, options));
      print(`| ${peer.name} | ${client} | ${cells.join(" | ")} |`);
    } finally {
      await peer.stop();
    }
  }
}

async function cpuPerMillion(
  peer: Peer,
  client: ClientKind,
  load: (typeof loads)[number],
  { pairs, scale }: BenchOptions,
): Promise<string> {
  const secondsPerMillion: number[] = [];
  for (let pair = 0; pair <= pairs; pair++) {
    const common = { client, ports: peer.ports, pids: peer.pids(), choice: "zipf" } as const;
    const { acknowledged, serverCpuSeconds } = await runLoad({ ...common, ...load, seconds: secondsPerRun * scale });
    // The first warms the servers up: compilers are no cost per increment.
    if (pair > 0) secondsPerMillion.push(serverCpuSeconds / (acknowledged / 1e6));
  }
  return withRange(spread(secondsPerMillion), 1);
}
