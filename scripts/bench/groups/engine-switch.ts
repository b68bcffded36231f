/**
 * Group `engine-switch`: how long no write succeeds while the log moves to another engine. One SDK client counts all the
 * while; at the end its counter holds exactly what it saw acknowledged.
 */
import { FailoverLoad } from "../failover-load.ts";
import { pause } from "../peers/processes.ts";
import { startEtcd } from "../peers/etcd.ts";
import { type Engine, type QuipuCell, startCell } from "../peers/quipu-cell.ts";
import { startZooKeeper } from "../peers/zookeeper.ts";
import { type BenchOptions, print } from "../report.ts";

/** Between the engines of our own nodes; a tenth as often to and from services. */
const repetitions = 100;
/** Undisturbed before each switch, so that the gap is the switch's own, and after it. */
const quietMs = 500;

export async function benchmarkEngineSwitch({ nodes, scale }: BenchOptions): Promise<void> {
  if (nodes < 3) throw new Error("engine-switch needs a cell: --nodes 3 or 5");
  const services = [
    { name: "etcd", peer: await startEtcd() },
    { name: "zookeeper", peer: await startZooKeeper() },
  ] as const;
  const cell = await startCell(nodes);
  try {
    print(`\n### ${cell.name}: time without a successful write in a switch, ms (one SDK client, 16 callers)\n`);
    print("| switch | times | p50 | p99 | maximum | target p99 |\n|---|--:|--:|--:|--:|--:|");
    const raft: Engine = { name: "raft" };
    const times = Math.max(2, Math.round(repetitions * scale));
    await alternate(cell, raft, { name: "multi-paxos" }, times, "< 250");
    for (const { name, peer } of services) {
      await alternate(cell, raft, { name, ports: peer.ports }, Math.max(2, Math.round(times / 5)), "< 1,000");
    }
  } finally {
    await cell.stop();
    for (const { peer } of services) await peer.stop();
  }
}

async function alternate(cell: QuipuCell, one: Engine, other: Engine, times: number, target: string): Promise<void> {
  const load = await FailoverLoad.start(cell.ports, `switch:${one.name}-${other.name}`);
  const gapsMs = new Map<string, number[]>();
  for (let round = 0; round < times; round++) {
    const [from, to] = round % 2 === 0 ? [one, other] : [other, one];
    await pause(quietMs);
    load.mark();
    await cell.switchEngine(to);
    await pause(quietMs);
    const name = `${from.name} → ${to.name}`;
    gapsMs.set(name, [...(gapsMs.get(name) ?? []), load.longestGapMs]);
  }
  if (times % 2 === 1) await cell.switchEngine(one);
  await load.stop();
  for (const [name, gaps] of gapsMs) {
    const sorted = gaps.toSorted((left, right) => left - right);
    const at = (share: number): string => (sorted[Math.ceil(share * sorted.length) - 1] ?? 0).toFixed(0);
    print(`| ${name} | ${sorted.length} | ${at(0.5)} | **${at(0.99)}** | ${at(1)} | ${target} |`);
  }
}
