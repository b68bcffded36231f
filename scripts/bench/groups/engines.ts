/**
 * Our SDK on cells whose logs are on different engines. Multi-Paxos beside Raft; a log on etcd and on
 * ZooKeeper beside a client that takes a lock per key on the very same cluster. Interleaved; every counter is read back.
 */
import { type ClientLoad, runLoad } from "../load-report.ts";
import { interleaved } from "../pairs.ts";
import { startEtcd } from "../peers/etcd.ts";
import type { Peer } from "../peers/processes.ts";
import { startCell } from "../peers/quipu-cell.ts";
import { startZooKeeper } from "../peers/zookeeper.ts";
import { type BenchOptions, heading, row } from "../report.ts";
import type { ClientKind } from "../clients/open-client.ts";

const secondsPerRun = 4;
const callers = 64;

/** Group `engine-services`: a log on etcd and on ZooKeeper beside a lock per key there. */
export async function benchmarkServices(options: BenchOptions): Promise<void> {
  await besideLocks("etcd", startEtcd, "etcd-lock", options);
  await besideLocks("zookeeper", startZooKeeper, "zookeeper-lock", options);
}

/** Group `engine-paxos`: Multi-Paxos beside Raft. */
export async function benchmarkPaxos(options: BenchOptions): Promise<void> {
  const raft = await startCell(options.nodes);
  const paxos = await startCell(options.nodes, { name: "multi-paxos" });
  try {
    heading(`SDK on ${paxos.name}, closed loop, one client process`, "raft");
    for (const [count, keys] of [
      [64, 1],
      [64, 1000],
      [1024, 1],
    ] as const) {
      const summary = await interleaved(
        options.pairs,
        () => perSecond("sdk", paxos, count, keys, options),
        () => perSecond("sdk", raft, count, keys, options),
      );
      row(`${count.toLocaleString("en")} callers, ${countersText(keys)}`, summary, "≥ 0.8");
    }
  } finally {
    await raft.stop();
    await paxos.stop();
  }
}

async function besideLocks(
  name: "etcd" | "zookeeper",
  start: () => Promise<Peer>,
  client: ClientKind,
  options: BenchOptions,
): Promise<void> {
  const peer = await start();
  const cell = await startCell(options.nodes, { name, ports: peer.ports });
  try {
    heading(`SDK on ${cell.name}, ${callers} callers, the same ${peer.name} below`, "lock per key");
    for (const [keys, target] of [
      [1, "≥ 15"],
      [1000, "≥ 4"],
    ] as const) {
      const summary = await interleaved(
        options.pairs,
        () => perSecond("sdk", cell, callers, keys, options),
        () => perSecond(client, peer, callers, keys, options),
      );
      row(countersText(keys), summary, target);
    }
  } finally {
    await cell.stop();
    await peer.stop();
  }
}

async function perSecond(
  client: ClientKind,
  { ports }: Peer,
  count: number,
  keys: number,
  { scale }: BenchOptions,
): Promise<number> {
  const load: ClientLoad = { client, ports, callers: count, keys, choice: "zipf", seconds: secondsPerRun * scale };
  return (await runLoad(load)).requestsPerSecond;
}

function countersText(keys: number): string {
  return keys === 1 ? "one counter" : `${keys.toLocaleString("en")} zipfian counters`;
}
