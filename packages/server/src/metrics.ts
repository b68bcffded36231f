/**
 * Metrics for Prometheus: names with units, no label that grows with keys, callers or paths (research, features §5).
 * Most are read from {@link NodeStatus} when they are asked for and cost nothing in between.
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";
import type { NodeStatus, ShardStatus } from "./node-status.ts";

/** From a fast NVMe disk's fdatasync to one that is in trouble. */
const syncSecondsBuckets = [0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2];
const requestSecondsBuckets = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2, 10];

interface ShardMetric {
  readonly name: string;
  readonly help: string;
  readonly type: "gauge" | "counter";
  readonly value: (shard: ShardStatus) => number;
}

const shardMetrics: readonly ShardMetric[] = [
  { name: "quipu_keys", help: "Live counters.", type: "gauge", value: (s) => s.keys },
  { name: "quipu_keys_with_expiry", help: "Live counters that expire.", type: "gauge", value: (s) => s.keysWithExpiry },
  { name: "quipu_sessions", help: "Live client sessions.", type: "gauge", value: (s) => s.sessions },
  {
    name: "quipu_idempotency_entries",
    help: "Replies kept for retries with an idempotency key.",
    type: "gauge",
    value: (s) => s.idempotencyEntries,
  },
  {
    name: "quipu_keys_expired_total",
    help: "Counters removed by expiry.",
    type: "counter",
    value: (s) => s.expiredKeys,
  },
  {
    name: "quipu_applied_position",
    help: "Last log record in the state.",
    type: "gauge",
    value: (s) => Number(s.appliedPosition),
  },
  {
    name: "quipu_log_tail_position",
    help: "First unwritten position of the log.",
    type: "gauge",
    value: (s) => Number(s.tailPosition),
  },
  {
    name: "quipu_checkpointed_position",
    help: "Last log record in the state store.",
    type: "gauge",
    value: (s) => Number(s.checkpointedPosition),
  },
  { name: "quipu_log_time_seconds", help: "Log time.", type: "gauge", value: (s) => Number(s.logTimeMs) / 1000 },
  {
    name: "quipu_dirty_entries",
    help: "Entries changed since the last checkpoint.",
    type: "gauge",
    value: (s) => s.dirtyEntries,
  },
  {
    name: "quipu_queued_commands",
    help: "Commands waiting for the log.",
    type: "gauge",
    value: (s) => s.queuedCommands,
  },
  { name: "quipu_queued_bytes", help: "Bytes waiting for the log.", type: "gauge", value: (s) => s.queuedBytes },
  {
    name: "quipu_records_applied_total",
    help: "Log records applied since the start.",
    type: "counter",
    value: (s) => s.recordsApplied,
  },
  {
    name: "quipu_checkpoints_total",
    help: "Checkpoints written since the start.",
    type: "counter",
    value: (s) => s.checkpoints,
  },
  {
    name: "quipu_checkpoint_longest_slice_seconds",
    help: "Longest time that a checkpoint held the event loop.",
    type: "gauge",
    value: (s) => s.longestCheckpointSliceMs / 1000,
  },
];

/** What the RESP door counts; CONFIG RESETSTAT sets it back, which Prometheus takes for a restart. */
export interface RespFigures {
  readonly connectionCount: number;
  readonly statistics: {
    readonly connectionsReceived: number;
    readonly connectionsRefused: number;
    readonly commands: number;
    readonly inputBytes: number;
    readonly outputBytes: number;
    readonly errorReplies: number;
  };
}

const respTotals: readonly (readonly [string, string, keyof RespFigures["statistics"]])[] = [
  ["quipu_resp_connections_received_total", "Connections taken.", "connectionsReceived"],
  ["quipu_resp_connections_refused_total", "Connections refused at the limit.", "connectionsRefused"],
  ["quipu_resp_commands_total", "Commands read.", "commands"],
  ["quipu_resp_input_bytes_total", "Bytes read.", "inputBytes"],
  ["quipu_resp_output_bytes_total", "Bytes written.", "outputBytes"],
  ["quipu_resp_error_replies_total", "Replies that were errors.", "errorReplies"],
];

export class Metrics {
  readonly #registry = new Registry();
  readonly #syncs: Histogram;
  readonly #requests: Counter<"method" | "route" | "status">;
  readonly #requestSeconds: Histogram<"method" | "route">;
  /** Undefined until the node has one. */
  #status: (() => NodeStatus) | undefined;

  constructor() {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.#syncs = new Histogram({
      name: "quipu_disk_wal_fsync_duration_seconds",
      help: "Time of one fdatasync of the write-ahead log.",
      buckets: syncSecondsBuckets,
      registers,
    });
    this.#requests = new Counter({
      name: "quipu_http_requests_total",
      help: "HTTP requests answered.",
      labelNames: ["method", "route", "status"],
      registers,
    });
    this.#requestSeconds = new Histogram({
      name: "quipu_http_request_duration_seconds",
      help: "Time to answer one HTTP request.",
      labelNames: ["method", "route"],
      buckets: requestSecondsBuckets,
      registers,
    });
    this.#registerNode();
    for (const metric of shardMetrics) this.#registerShard(metric);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  watch(status: () => NodeStatus): void {
    this.#status = status;
  }

  watchResp(figures: RespFigures): void {
    const registers = [this.#registry];
    new Gauge({
      name: "quipu_resp_connections",
      help: "Open connections of the Redis protocol.",
      registers,
      collect() {
        this.set(figures.connectionCount);
      },
    });
    for (const [name, help, field] of respTotals) {
      new Counter({
        name,
        help,
        registers,
        collect() {
          this.reset();
          this.inc(figures.statistics[field]);
        },
      });
    }
  }

  observeSync(durationMs: number): void {
    this.#syncs.observe(durationMs / 1000);
  }

  /** `route` is the pattern, never the path: a path holds a key. */
  observeRequest(method: string, route: string, status: number, durationMs: number): void {
    this.#requests.inc({ method, route, status: String(status) });
    this.#requestSeconds.observe({ method, route }, durationMs / 1000);
  }

  #registerNode(): void {
    this.#gauge(
      "quipu_build_info",
      "The version, as a label; the value is 1.",
      ["version", "engine"],
      (gauge, status) => gauge.set({ version: status.version, engine: status.engine }, 1),
    );
    this.#gauge("quipu_node_incarnation", "How often this node has started on its data.", [], (gauge, status) =>
      gauge.set(status.incarnation),
    );
    this.#gauge("quipu_node_ready", "1 while the node takes requests.", [], (gauge, status) =>
      gauge.set(Number(status.ready)),
    );
    this.#gauge("quipu_node_overloaded", "1 while changes are refused at a limit.", [], (gauge, status) =>
      gauge.set(Number(status.overloaded)),
    );
  }

  #gauge(
    name: string,
    help: string,
    labelNames: readonly string[],
    collect: (gauge: Gauge<string>, status: NodeStatus) => void,
  ): void {
    const read = (gauge: Gauge<string>): void => {
      if (this.#status !== undefined) collect(gauge, this.#status());
    };
    new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      registers: [this.#registry],
      collect() {
        read(this);
      },
    });
  }

  #registerShard(metric: ShardMetric): void {
    const read = (set: (labels: { shard: string }, value: number) => void): void => {
      for (const shard of this.#status?.().shards ?? []) set({ shard: String(shard.shard) }, metric.value(shard));
    };
    const common = { name: metric.name, help: metric.help, labelNames: ["shard"], registers: [this.#registry] };
    if (metric.type === "gauge") {
      new Gauge({
        ...common,
        collect() {
          read((labels, value) => this.set(labels, value));
        },
      });
      return;
    }
    new Counter({
      ...common,
      collect() {
        // The total is kept elsewhere: start anew and add it whole.
        this.reset();
        read((labels, value) => this.inc(labels, value));
      },
    });
  }
}
