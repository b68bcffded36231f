/** The text of INFO: Redis' sections and field names, because tools read them. */
import { cpuUsage, memoryUsage, pid } from "node:process";
import { release, totalmem, type } from "node:os";
import type { DoorServices } from "./connection-face.ts";
import { databaseCount } from "./limits.ts";
import { compatibleRedisVersion } from "./redis-version.ts";

type Fields = Readonly<Record<string, string | number>>;

const sections: Readonly<Record<string, (door: DoorServices) => Fields>> = {
  Server: server,
  Clients: clients,
  Memory: memory,
  Persistence: persistence,
  Stats: stats,
  Replication: () => ({ role: "master", connected_slaves: 0, master_repl_offset: 0 }),
  CPU: cpu,
  Cluster: () => ({ cluster_enabled: 0 }),
  Keyspace: keyspace,
};

/** `names` in lower case; none, `all`, `default` and `everything` are every section. */
export function infoText(door: DoorServices, names: readonly string[]): string {
  const isEverything = names.length === 0 || names.some((name) => ["all", "default", "everything"].includes(name));
  return Object.entries(sections)
    .filter(([name]) => isEverything || names.includes(name.toLowerCase()))
    .map(([name, fields]) => section(name, fields(door)))
    .join("\r\n");
}

function section(name: string, fields: Fields): string {
  const lines = Object.entries(fields).map(([field, value]) => `${field}:${value}\r\n`);
  return `# ${name}\r\n${lines.join("")}`;
}

function server(door: DoorServices): Fields {
  const uptimeSeconds = Math.floor((door.clock.monotonicMs() - door.startedAtMs) / 1000);
  return {
    redis_version: compatibleRedisVersion,
    quipu_version: door.version,
    redis_mode: "standalone",
    os: `${type()} ${release()}`,
    arch_bits: 64,
    process_id: pid,
    run_id: door.runId,
    tcp_port: door.port,
    server_time_usec: Math.floor(door.clock.wallMs() * 1000),
    uptime_in_seconds: uptimeSeconds,
    uptime_in_days: Math.floor(uptimeSeconds / 86_400),
  };
}

function clients(door: DoorServices): Fields {
  return {
    connected_clients: door.connectionCount,
    maxclients: door.limits.connectionsMax,
    blocked_clients: 0,
  };
}

function memory(): Fields {
  const { rss, heapUsed, arrayBuffers } = memoryUsage();
  return {
    used_memory: heapUsed + arrayBuffers,
    used_memory_rss: rss,
    total_system_memory: totalmem(),
    maxmemory: 0,
    maxmemory_policy: "noeviction",
  };
}

/** Every answer is durable; `aof_` is Redis' word for a log of commands. */
function persistence({ replica }: DoorServices): Fields {
  return {
    loading: 0,
    rdb_changes_since_last_save: replica.machine.dirtyCount,
    rdb_bgsave_in_progress: 0,
    aof_enabled: 1,
    aof_rewrite_in_progress: 0,
    aof_last_write_status: "ok",
    quipu_applied_lsn: replica.machine.appliedLsn,
  };
}

function stats({ statistics, replica }: DoorServices): Fields {
  return {
    total_connections_received: statistics.connectionsReceived,
    total_commands_processed: statistics.commands,
    total_net_input_bytes: statistics.inputBytes,
    total_net_output_bytes: statistics.outputBytes,
    rejected_connections: statistics.connectionsRefused,
    client_output_buffer_limit_disconnections: statistics.slowReadersDisconnected,
    expired_keys: replica.machine.statistics.expiredKeys,
    evicted_keys: 0,
    total_error_replies: statistics.errorReplies,
    quipu_overload_waits: statistics.overloadWaits,
    quipu_sessions: replica.machine.statistics.sessions,
    quipu_idempotency_entries: replica.machine.statistics.idempotencyEntries,
  };
}

function cpu(): Fields {
  const { user, system } = cpuUsage();
  return { used_cpu_sys: (system / 1e6).toFixed(6), used_cpu_user: (user / 1e6).toFixed(6) };
}

/** `expires` only while one database is in use: keys with an expiry are counted over all of them. */
function keyspace({ replica: { machine } }: DoorServices): Fields {
  const sizes: (readonly [database: number, size: number | bigint])[] = [];
  for (let database = 0; database < databaseCount; database++) {
    const size = machine.read({ type: "databaseSize", database });
    if (size.type === "integer" && size.value !== 0) sizes.push([database, size.value]);
  }
  const expires = sizes.length === 1 ? `,expires=${machine.statistics.keysWithExpiry}` : "";
  return Object.fromEntries(sizes.map(([database, size]) => [`db${database}`, `keys=${size}${expires},avg_ttl=0`]));
}
