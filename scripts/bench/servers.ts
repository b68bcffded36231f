/** The two servers that a benchmark compares: ours, built, and Debian's redis-server with an AOF synced always. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface BenchServer {
  readonly name: "quipu" | "redis";
  readonly port: number;
  readonly pid: number;
  readonly dataDirectory: string;
  /** Kills the process; with `keep`, its data stays. */
  stop(signal: NodeJS.Signals, keep?: boolean): Promise<void>;
}

const cli = fileURLToPath(new URL("../../packages/server/bin/quipu.js", import.meta.url));
const startDeadlineMs = 60_000;

export async function startQuipu(
  port: number,
  options: { readonly dataDirectory?: string; readonly environment?: Readonly<Record<string, string>> } = {},
): Promise<BenchServer> {
  const dataDirectory = options.dataDirectory ?? (await mkdtemp(join(tmpdir(), "quipu-bench-")));
  const child = spawn(
    process.execPath,
    [
      cli,
      "start",
      "--data",
      dataDirectory,
      "--resp-port",
      String(port),
      "--http-port",
      String(port + 1),
      "--log-level",
      "warn",
    ],
    { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, ...options.environment } },
  );
  return running("quipu", child, port, dataDirectory);
}

export async function startRedis(port: number): Promise<BenchServer> {
  const dataDirectory = await mkdtemp(join(tmpdir(), "redis-bench-"));
  const child = spawn(
    "redis-server",
    [
      "--port",
      String(port),
      "--bind",
      "127.0.0.1",
      "--dir",
      dataDirectory,
      "--save",
      "",
      "--appendonly",
      "yes",
      "--appendfsync",
      "always",
    ],
    { stdio: "ignore" },
  );
  return running("redis", child, port, dataDirectory);
}

async function running(
  name: BenchServer["name"],
  child: ChildProcess,
  port: number,
  dataDirectory: string,
): Promise<BenchServer> {
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  await untilAnswering(port, () => child.exitCode !== null);
  return {
    name,
    port,
    pid: child.pid ?? 0,
    dataDirectory,
    async stop(signal, keep = false) {
      child.kill(signal);
      await ended;
      if (!keep) await rm(dataDirectory, { recursive: true, force: true });
    },
  };
}

/** Resolves when PING is answered with PONG. */
export async function untilAnswering(port: number, hasEnded: () => boolean): Promise<void> {
  const deadline = performance.now() + startDeadlineMs;
  while (performance.now() < deadline && !hasEnded()) {
    if (await answersPing(port)) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`the server on port ${port} did not answer`);
}

function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.once("data", (bytes) => {
      socket.destroy();
      resolve(bytes.toString("latin1").startsWith("+PONG"));
    });
    socket.once("error", () => resolve(false));
  });
}

/** User and system CPU seconds of a process so far, all threads (Linux). */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const clockTicksPerSecond = 100;
  return (Number(fields[11]) + Number(fields[12])) / clockTicksPerSecond;
}

/** Resident memory in MB (10^6 bytes; Linux). */
export async function residentMegabytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "latin1");
  const kilobytes = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN);
  return (kilobytes * 1024) / 1e6;
}
