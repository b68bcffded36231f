/**
 * `npm run bench`: the figures of docs/benchmarks.md. Ours beside Debian's redis-server, etcd and ZooKeeper, measured
 * in interleaved pairs with the same tool, ours synced before every answer (a cell: by a majority).
 */
import { parseArgs } from "node:util";
import { benchmarkCellCpu } from "./bench/groups/cell-cpu.ts";
import { benchmarkCellDoors } from "./bench/groups/cell-doors.ts";
import { benchmarkCellFailover } from "./bench/groups/cell-failover.ts";
import { benchmarkCellSdk } from "./bench/groups/cell-sdk.ts";
import { benchmarkClients, benchmarkLatency } from "./bench/groups/clients.ts";
import { benchmarkCpu } from "./bench/groups/cpu.ts";
import { benchmarkEngineSwitch } from "./bench/groups/engine-switch.ts";
import { benchmarkPaxos, benchmarkServices } from "./bench/groups/engines.ts";
import { benchmarkBounds, benchmarkOnce } from "./bench/groups/guarantees.ts";
import { benchmarkCores } from "./bench/groups/raft.ts";
import { benchmarkIncrements, benchmarkReads } from "./bench/groups/redis-loads.ts";
import type { SingleServers } from "./bench/groups/single-servers.ts";
import { benchmarkSizes } from "./bench/groups/sizes.ts";
import type { BenchOptions } from "./bench/report.ts";
import { startQuipu, startRedis } from "./bench/servers.ts";

const quipuPort = 17_379;
const redisPort = 17_479;
const sizesPort = 17_579;

/** They share a server of each kind, so that a long run starts each once. */
const singleGroups: Readonly<Record<string, (servers: SingleServers) => Promise<void>>> = {
  incr: benchmarkIncrements,
  get: benchmarkReads,
  bounded: benchmarkBounds,
  once: benchmarkOnce,
  clients: benchmarkClients,
  latency: benchmarkLatency,
  cpu: benchmarkCpu,
};

/** They start what they need. */
const otherGroups: Readonly<Record<string, (options: BenchOptions) => Promise<void> | void>> = {
  sizes: () => benchmarkSizes(sizesPort),
  cell: benchmarkCellDoors,
  "cell-sdk": benchmarkCellSdk,
  "cell-cpu": benchmarkCellCpu,
  "cell-failover": benchmarkCellFailover,
  "engine-paxos": benchmarkPaxos,
  "engine-services": benchmarkServices,
  "engine-switch": benchmarkEngineSwitch,
  raft: benchmarkCores,
};

const allGroups = [...Object.keys(singleGroups), ...Object.keys(otherGroups)];

const help = `Usage: npm run bench -- [--only NAME[,NAME]] [--pairs N] [--scale F] [--nodes N]

  --only   which groups (default: all)
             single process   incr, get, bounded, once, clients, latency, cpu, sizes
             cell             cell (redis-benchmark through its doors, beside a single redis), cell-sdk (beside etcd,
                              ZooKeeper, redis with replicas), cell-cpu, cell-failover (30 kills; --scale 0.1: 3)
             engines          engine-paxos (beside Raft), engine-services (logs on etcd and ZooKeeper beside a lock
                              per key there), engine-switch (100 live switches, time without a write)
             no server        raft
  --pairs  interleaved pairs per figure (default 7)
  --scale  multiplies requests, seconds and repetitions (default 1)
  --nodes  of our cell: 3, 5, or 1 for a single process in its place (default 3)

Needs Linux' /proc and what scripts/install-peers.sh installs: redis, for cell-sdk and cell-cpu etcd and ZooKeeper too.
`;

function usage(problem: string): never {
  process.stderr.write(`${problem}\n\n${help}`);
  process.exit(2);
}

function readArguments(): BenchOptions & { readonly groups: ReadonlySet<string> } {
  const { values } = parseArgs({
    options: {
      only: { type: "string", default: allGroups.join(",") },
      pairs: { type: "string", default: "7" },
      scale: { type: "string", default: "1" },
      nodes: { type: "string", default: "3" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    process.exit(0);
  }
  const groups = new Set(values.only.split(","));
  const strange = [...groups].filter((name) => !allGroups.includes(name));
  if (strange.length > 0) usage(`no such group: ${strange.join(", ")}`);
  const [pairs, scale, nodes] = [Number(values.pairs), Number(values.scale), Number(values.nodes)];
  if (!Number.isSafeInteger(pairs) || pairs < 1) usage("--pairs: a whole number, 1 or more");
  if (!(scale > 0)) usage("--scale: a number above 0");
  if (![1, 3, 5].includes(nodes)) usage("--nodes: 1, 3 or 5");
  return { groups, pairs, scale, nodes };
}

const { groups, ...options } = readArguments();
// Peers end with this process, and this one ends in an orderly way.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

if (Object.keys(singleGroups).some((name) => groups.has(name))) {
  const quipu = await startQuipu(quipuPort);
  const redis = await startRedis(redisPort);
  try {
    for (const [name, benchmark] of Object.entries(singleGroups)) {
      if (groups.has(name)) await benchmark({ ...options, quipu, redis });
    }
  } finally {
    await quipu.stop("SIGKILL");
    await redis.stop("SIGKILL");
  }
}
for (const [name, benchmark] of Object.entries(otherGroups)) {
  if (groups.has(name)) await benchmark(options);
}
