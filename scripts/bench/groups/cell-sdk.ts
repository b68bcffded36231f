/**
 * Group `cell-sdk`: our SDK on our cell beside etcd, ZooKeeper and redis with replicas, each through one Node client
 * process, interleaved. Only one rival runs at a time. Every counter is read back after every run.
 */
import { type ClientLoad, runLoad } from "../load-report.ts";
import { interleaved, spread } from "../pairs.ts";
import { startEtcd } from "../peers/etcd.ts";
import type { Peer } from "../peers/processes.ts";
import { startCell } from "../peers/quipu-cell.ts";
import { startRedisWithReplicas } from "../peers/redis.ts";
import { startZooKeeper } from "../peers/zookeeper.ts";
import { type BenchOptions, heading, print, row, withRange } from "../report.ts";
import type { ClientKind } from "../clients/open-client.ts";

interface Contest {
  readonly client: ClientKind;
  readonly how: string;
  readonly callers: number;
  readonly keys: number;
  readonly target: string;
}

interface Rival {
  readonly start: () => Promise<Peer>;
  /** The client of the single caller. */
  readonly alone: ClientKind;
  readonly contests: readonly Contest[];
}

const secondsPerRun = 3;

const rivals: readonly Rival[] = [
  {
    start: startEtcd,
    alone: "etcd-lock",
    contests: [
      { client: "etcd-lock", how: "lock per key", callers: 64, keys: 1, target: "≥ 40" },
      { client: "etcd-lock", how: "lock per key", callers: 1024, keys: 1, target: "≥ 100" },
      // Not with 1,024 callers: at some six increments a second they would need minutes to come to an end.
      { client: "etcd-retry", how: "compare-and-set retry", callers: 64, keys: 1, target: "–" },
    ],
  },
  {
    start: startZooKeeper,
    alone: "zookeeper-lock",
    contests: [
      { client: "zookeeper-lock", how: "lock per key", callers: 64, keys: 1, target: "–" },
      { client: "zookeeper-lock", how: "lock per key", callers: 64, keys: 1000, target: "≥ 15" },
    ],
  },
  {
    start: () => startRedisWithReplicas(2),
    alone: "redis-wait",
    contests: [
      { client: "redis-wait", how: "WAIT 1 per call", callers: 64, keys: 1, target: "≥ 1.0" },
      { client: "redis-wait", how: "WAIT 1 per call", callers: 1024, keys: 1, target: "≥ 1.0" },
      { client: "redis-wait-batch", how: "one WAIT 1 per batch", callers: 64, keys: 1, target: "≥ 0.7" },
      { client: "redis-wait-batch", how: "one WAIT 1 per batch", callers: 1024, keys: 1, target: "≥ 0.7" },
    ],
  },
];

export async function benchmarkCellSdk(options: BenchOptions): Promise<void> {
  const cell = await startCell(options.nodes);
  const aloneRows: string[] = [];
  try {
    heading(`SDK on ${cell.name}, closed loop, one client process`, "theirs");
    aloneRows.push(await aloneRow(cell, "sdk", "< 1", options));
    for (const rival of rivals) {
      const peer = await rival.start();
      try {
        for (const contest of rival.contests) await contend(cell, peer, contest, options);
        aloneRows.push(await aloneRow(peer, rival.alone, "–", options));
      } finally {
        await peer.stop();
      }
    }
  } finally {
    await cell.stop();
  }
  print("\n### One caller, one call at a time\n\n| store | client | p50 ms: median (range) | p99 ms | target p50 |");
  print(`|---|---|--:|--:|--:|\n${aloneRows.join("\n")}`);
}

async function contend(cell: Peer, peer: Peer, contest: Contest, { pairs, scale }: BenchOptions): Promise<void> {
  const { client, how, callers, keys, target } = contest;
  const perSecond = async (kind: ClientKind, { ports }: Peer): Promise<number> => {
    const load: ClientLoad = { client: kind, ports, callers, keys, choice: "zipf", seconds: secondsPerRun * scale };
    return (await runLoad(load)).requestsPerSecond;
  };
  const summary = await interleaved(
    pairs,
    () => perSecond("sdk", cell),
    () => perSecond(client, peer),
  );
  const counters = keys === 1 ? "one counter" : `${keys.toLocaleString("en")} zipfian counters`;
  row(`${peer.name}, ${how}; ${callers.toLocaleString("en")} callers, ${counters}`, summary, target);
}

async function aloneRow(peer: Peer, client: ClientKind, target: string, options: BenchOptions): Promise<string> {
  const p50Ms: number[] = [];
  const p99Ms: number[] = [];
  for (let pair = 0; pair <= options.pairs; pair++) {
    const load = { client, ports: peer.ports, callers: 1, keys: 1, seconds: secondsPerRun * options.scale };
    const report = await runLoad(load);
    if (pair === 0) continue; // Warm-up of the servers.
    p50Ms.push(report.p50Ms);
    p99Ms.push(report.p99Ms);
  }
  return `| ${peer.name} | ${client} | ${withRange(spread(p50Ms), 3)} | ${spread(p99Ms).median.toFixed(3)} | ${target} |`;
}
