/**
 * `npm run bench`: the figures of docs/benchmarks.md, each measured in interleaved pairs against Debian's
 * redis-server (`--appendonly yes --appendfsync always`), with the same tool, ours syncing before every answer.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { interleaved, type PairSummary, type Spread, spread } from "./bench/pairs.ts";
import { redisBenchmark } from "./bench/redis-benchmark.ts";
import { measureRaftCore, type RaftLoad, type RaftRates } from "./bench/raft-core.ts";
import { type BenchServer, cpuSeconds, startQuipu, startRedis } from "./bench/servers.ts";
import { fill, measureSizes } from "./bench/sizes.ts";

const help = `Usage: npm run bench -- [--only NAME[,NAME]] [--pairs N] [--scale F]

  --only   which groups: incr, get, bounded, once, clients, latency, cpu, sizes, raft (default: all)
  --pairs  interleaved pairs per figure (default 7)
  --scale  multiplies the number of requests (default 1)

Needs redis-server and redis-benchmark (Debian: redis-server, redis-tools) and Linux' /proc; raft alone needs neither.
`;

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "incr,get,bounded,once,clients,latency,cpu,sizes,raft" },
    pairs: { type: "string", default: "7" },
    scale: { type: "string", default: "1" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}

const groups = new Set(values.only.split(","));
const pairs = Number(values.pairs);
const scale = Number(values.scale);
const quipuPort = 17_379;
const redisPort = 17_479;

/** Clients, and records in each of their proposals. */
const raftLoads = [
  [1, 1],
  [64, 1],
  [4096, 1],
  [64, 100],
] as const;

// The core alone needs no server.
if (groups.delete("raft")) benchmarkRaftCore();
if (groups.size === 0) process.exit(0);

const quipu = await startQuipu(quipuPort);
const redis = await startRedis(redisPort);

const requestsAt: Readonly<Record<number, number>> = { 1: 150_000, 16: 1_000_000, 64: 2_000_000 };
const requests = (depth: number): string => String(Math.round((requestsAt[depth] ?? 1_000_000) * scale));
const rate = async (port: number, arguments_: readonly string[]): Promise<number> =>
  (await redisBenchmark(port, arguments_)).requestsPerSecond;

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function thousands({ minimum, median, maximum }: Spread): string {
  const k = (value: number): string => (value >= 1e6 ? `${(value / 1e6).toFixed(2)}M` : `${(value / 1e3).toFixed(1)}k`);
  return `${k(median)} (${k(minimum)}–${k(maximum)})`;
}

function row(name: string, summary: PairSummary, target: string): void {
  const { minimum, median, maximum } = summary.ratio;
  print(
    `| ${name} | ${thousands(summary.ours)} | ${thousands(summary.theirs)} | ` +
      `**${median.toFixed(2)}** (${minimum.toFixed(2)}–${maximum.toFixed(2)}) | ${target} |`,
  );
}

function heading(title: string, theirs: string): void {
  print(`\n### ${title}\n\n| what | ours, per s: median (range) | ${theirs} | ratio | target |\n|---|--:|--:|--:|--:|`);
}

async function benchmarkIncrements(): Promise<void> {
  heading("redis-benchmark -t incr -c 50", "redis");
  const targets: Readonly<Record<number, string>> = { 1: "0.8", 16: "1.0", 64: "1.0" };
  for (const depth of [1, 16, 64]) {
    for (const spreadOver of [[], ["-r", "100000"]]) {
      const load = ["-t", "incr", "-c", "50", "-P", String(depth), "-n", requests(depth), ...spreadOver];
      const summary = await interleaved(
        pairs,
        () => rate(quipuPort, load),
        () => rate(redisPort, load),
      );
      row(`INCR -P ${depth} ${spreadOver.length > 0 ? "100,000 keys" : "one key"}`, summary, targets[depth] ?? "");
    }
  }
}

async function benchmarkReads(): Promise<void> {
  heading("redis-benchmark -t get -c 50", "redis");
  for (const depth of [1, 16, 64]) {
    const load = ["-t", "get", "-c", "50", "-P", String(depth), "-n", requests(depth)];
    row(
      `GET -P ${depth}`,
      await interleaved(
        pairs,
        () => rate(quipuPort, load),
        () => rate(redisPort, load),
      ),
      "0.7",
    );
  }
}

async function benchmarkBounds(): Promise<void> {
  heading("Bounded counters", "ours, not bounded");
  const keys = 100_000;
  await fill(
    quipuPort,
    keys,
    (index) => `Q.BOUND bounded:${String(index).padStart(12, "0")} MIN 0 MAX 1000000000000\r\n`,
    3,
  );
  for (const spreadOver of [1, keys]) {
    const load = (prefix: string): string[] => {
      const key = spreadOver === 1 ? `${prefix}:000000000000` : `${prefix}:__rand_int__`;
      return ["-c", "50", "-P", "16", "-r", String(keys), "-n", requests(16), "INCR", key];
    };
    const summary = await interleaved(
      pairs,
      () => rate(quipuPort, load("bounded")),
      () => rate(quipuPort, load("unlimit")),
    );
    row(`INCR -P 16, ${spreadOver} key(s)`, summary, "0.9");
  }
}

async function benchmarkOnce(): Promise<void> {
  heading("Idempotency keys", "ours, plain INCR");
  const common = ["-c", "50", "-P", "16", "-r", "999999999999", "-n", String(Math.round(300_000 * scale))];
  const once = [...common, "Q.ONCE", "id:__rand_int__", "INCR", "once-counter"];
  const summary = await interleaved(
    pairs,
    () => rate(quipuPort, once),
    () => rate(quipuPort, [...common, "INCR", "plain-counter"]),
  );
  row("Q.ONCE, distinct keys, -P 16", summary, "0.4");
}

interface ClientResult {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly exact: boolean;
}

const clientLoad = fileURLToPath(new URL("./bench/client-load.ts", import.meta.url));

async function client(kind: "ioredis" | "sdk", port: number, callers: number, keys: number): Promise<ClientResult> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    "--conditions=@quipu/source",
    "--import",
    "tsx",
    clientLoad,
    "--client",
    kind,
    "--port",
    String(port),
    "--callers",
    String(callers),
    "--keys",
    String(keys),
    "--seconds",
    String(2 * scale),
    "--prefix",
    `${kind}${callers}x${keys}`,
  ]);
  const result = JSON.parse(stdout) as ClientResult;
  if (!result.exact) throw new Error(`${kind} on port ${port}: the counters do not equal the acknowledged increments`);
  return result;
}

async function benchmarkClients(): Promise<void> {
  heading("Node clients, closed loop, every counter read back and equal", "theirs");
  for (const callers of [64, 1024]) {
    for (const keys of [1, 100_000]) {
      const load = async (kind: "ioredis" | "sdk", port: number): Promise<number> =>
        (await client(kind, port, callers, keys)).requestsPerSecond;
      const where = `${callers} callers, ${keys} counter(s)`;
      row(
        `ioredis on ours / ioredis on redis, ${where}`,
        await interleaved(
          pairs,
          () => load("ioredis", quipuPort),
          () => load("ioredis", redisPort),
        ),
        "1.0",
      );
      row(
        `SDK with sessions / ioredis on ours, ${where}`,
        await interleaved(
          pairs,
          () => load("sdk", quipuPort),
          () => load("ioredis", quipuPort),
        ),
        "0.7",
      );
    }
  }
}

async function benchmarkLatency(): Promise<void> {
  print("\n### One caller\n\n| client | p50 ms: median (range) | p99 ms | target p50 |\n|---|--:|--:|--:|");
  for (const [kind, server] of [
    ["sdk", quipu],
    ["ioredis", quipu],
    ["ioredis", redis],
  ] as const) {
    const results: ClientResult[] = [];
    for (let pair = 0; pair < pairs; pair++) results.push(await client(kind, server.port, 1, 1));
    const p50 = spread(results.map((result) => result.p50Ms));
    const p99 = spread(results.map((result) => result.p99Ms));
    const range = `${p50.median.toFixed(3)} (${p50.minimum.toFixed(3)}–${p50.maximum.toFixed(3)})`;
    print(`| ${kind} on ${server.name} | ${range} | ${p99.median.toFixed(3)} | < 0.5 |`);
  }
}

async function benchmarkCpu(): Promise<void> {
  print("\n### CPU seconds of the server per million increments\n\n| load | ours | redis |\n|---|--:|--:|");
  for (const depth of [1, 16, 64]) {
    const load = ["-t", "incr", "-c", "50", "-P", String(depth), "-n", requests(depth)];
    const figures: string[] = [];
    for (const server of [quipu, redis]) {
      const seconds: number[] = [];
      for (let pair = 0; pair < pairs; pair++) seconds.push(await cpuPerMillion(server, load, Number(requests(depth))));
      const { minimum, median, maximum } = spread(seconds);
      figures.push(`${median.toFixed(2)} (${minimum.toFixed(2)}–${maximum.toFixed(2)})`);
    }
    print(`| INCR -P ${depth}, one key | ${figures.join(" | ")} |`);
  }
}

async function cpuPerMillion(server: BenchServer, load: readonly string[], count: number): Promise<number> {
  const before = await cpuSeconds(server.pid);
  await redisBenchmark(server.port, load);
  return ((await cpuSeconds(server.pid)) - before) / (count / 1e6);
}

function benchmarkRaftCore(): void {
  const loads = raftLoads.flatMap(([clients, entriesPerProposal]) =>
    [16, 200].flatMap((recordBytes) =>
      [false, true].map((encoded): RaftLoad => ({ clients, entriesPerProposal, recordBytes, encoded })),
    ),
  );
  print("\n### The Raft core: three members in memory, one thread, writes durable at once\n");
  print("| clients × records per proposal | record | entries per CPU s: median (range) | messages per CPU s |");
  print("|---|--:|--:|--:|");
  // One uncounted round over all of them: code that is compiled for one load only is slow at the next.
  const rounds = Array.from({ length: pairs + 1 }, () => loads.map((load) => measureRaftCore(load, scale))).slice(1);
  for (const [place, { clients, entriesPerProposal, recordBytes, encoded }] of loads.entries()) {
    const rates = rounds.map((round) => round[place] as RaftRates);
    const entries = thousands(spread(rates.map((rate) => rate.entriesPerSecond)));
    const messages = thousands(spread(rates.map((rate) => rate.messagesPerSecond)));
    const name = `${clients} × ${entriesPerProposal}${encoded ? ", through frames" : ""}`;
    print(`| ${name} | ${recordBytes} B | ${entries} | ${messages} |`);
  }
}

async function benchmarkSizes(): Promise<void> {
  const report = await measureSizes(17_579);
  const growth = report.millionCountersMegabytes - report.emptyMegabytes;
  print("\n### Sizes and restart\n\n| what | seen | target |\n|---|--:|--:|");
  print(
    `| RSS with 1,000,000 counters (16-byte keys) − RSS empty | ${growth.toFixed(0)} MB (${report.emptyMegabytes.toFixed(0)} → ${report.millionCountersMegabytes.toFixed(0)}) | ≤ 200 MB |`,
  );
  print(`| bytes per idempotency entry (16-byte key) | ${report.bytesPerIdempotencyEntry.toFixed(0)} | – |`);
  print(
    `| start after kill -9, 1,000,000 counters + ${report.logSuffixMegabytes.toFixed(0)} MB of log | ${report.restartSeconds.toFixed(2)} s | < 5 s |`,
  );
  print(`| checkpoint of 1,000,000 counters | ${report.checkpoint} | longest slice ≤ 10 ms |`);
}

try {
  if (groups.has("incr")) await benchmarkIncrements();
  if (groups.has("get")) await benchmarkReads();
  if (groups.has("bounded")) await benchmarkBounds();
  if (groups.has("once")) await benchmarkOnce();
  if (groups.has("clients")) await benchmarkClients();
  if (groups.has("latency")) await benchmarkLatency();
  if (groups.has("cpu")) await benchmarkCpu();
} finally {
  await quipu.stop("SIGKILL");
  await redis.stop("SIGKILL");
}
if (groups.has("sizes")) await benchmarkSizes();
