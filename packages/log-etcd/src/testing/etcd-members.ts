/** A cluster of real etcd members on the loopback, as Debian packages it: every write is synced by a majority. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

export interface EtcdMembersOptions {
  /** Default: 1. */
  readonly count?: 1 | 3 | 5;
  /** More arguments of each member, as `--quota-backend-bytes=16777216`. */
  readonly arguments?: readonly string[];
  /** Files of certificates, for clients alone; the members' names must be `127.0.0.1` and `localhost`. */
  readonly tls?: { readonly caFile: string; readonly certFile: string; readonly keyFile: string };
}

export interface EtcdMembers {
  /** One of each member, in order. They stay the same over restarts. */
  readonly endpoints: readonly string[];
  /** kill -9. Resolves when the member is gone. */
  kill(member: number): Promise<void>;
  /** Starts a member that was killed, on what it has on its disk. Resolves when it answers, not when it has caught up. */
  restart(member: number): Promise<void>;
  /** SIGSTOP, SIGCONT: the member is there and does nothing. */
  pause(member: number): void;
  resume(member: number): void;
  /** Kills all that are left and removes their data. */
  stop(): Promise<void>;
}

const program = "/usr/bin/etcd";
const startDeadlineMs = 30_000;
const outputCharactersMax = 4000;

/** Whether etcd is installed here. Where `CI` is set it has to be: tests that need it then fail instead of being skipped. */
export function hasEtcd(): boolean {
  const isThere = existsSync(program);
  const isRequired = (process.env["CI"] ?? "") !== "";
  if (!isThere && !isRequired)
    console.warn(`${program} is missing: tests against etcd are skipped (scripts/install-peers.sh)`);
  return isThere || isRequired;
}

export async function startEtcdMembers(options: EtcdMembersOptions = {}): Promise<EtcdMembers> {
  if (!existsSync(program)) throw new Error(`${program} is missing: run scripts/install-peers.sh`);
  const members = new Members(
    options,
    await mkdtemp(path.join(tmpdir(), "quipu-etcd-")),
    await freePorts(2 * (options.count ?? 1)),
  );
  try {
    await members.start();
  } catch (error) {
    await members.stop();
    throw error;
  }
  return members;
}

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
  output: string;
}

class Members implements EtcdMembers {
  readonly endpoints: readonly string[];
  readonly #options: EtcdMembersOptions;
  readonly #directory: string;
  readonly #peers: readonly string[];
  readonly #running: Map<number, Running> = new Map();
  readonly #onExit: () => void;

  constructor(options: EtcdMembersOptions, directory: string, ports: readonly number[]) {
    const count = options.count ?? 1;
    const scheme = options.tls === undefined ? "http" : "https";
    this.#options = options;
    this.#directory = directory;
    this.endpoints = ports.slice(0, count).map((port) => `${scheme}://127.0.0.1:${port}`);
    this.#peers = ports.slice(count).map((port) => `http://127.0.0.1:${port}`);
    // Whatever becomes of the tests, the members end with them.
    this.#onExit = () => {
      for (const { child } of this.#running.values()) child.kill("SIGKILL");
      rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
    };
    process.once("exit", this.#onExit);
  }

  async start(): Promise<void> {
    const members = this.endpoints.map((_, member) => member);
    for (const member of members) this.#spawn(member);
    await Promise.all(members.map((member) => this.#untilHealthy(member, true)));
  }

  async kill(member: number): Promise<void> {
    const running = this.#running.get(member);
    this.#running.delete(member);
    running?.child.kill("SIGKILL");
    await running?.ended;
  }

  async restart(member: number): Promise<void> {
    this.#spawn(member);
    await this.#untilHealthy(member, false);
  }

  pause(member: number): void {
    this.#running.get(member)?.child.kill("SIGSTOP");
  }

  resume(member: number): void {
    this.#running.get(member)?.child.kill("SIGCONT");
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((member) => this.kill(member)));
    process.off("exit", this.#onExit);
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 10 });
  }

  #spawn(member: number): void {
    const { tls } = this.#options;
    const client = this.endpoints[member] ?? "";
    const peer = this.#peers[member] ?? "";
    const child = spawn(
      program,
      [
        ...["--name", `e${member}`, "--data-dir", path.join(this.#directory, `e${member}`)],
        ...["--listen-client-urls", client, "--advertise-client-urls", client],
        ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
        ...["--initial-cluster", this.#peers.map((url, at) => `e${at}=${url}`).join(",")],
        ...["--initial-cluster-state", "new", "--initial-cluster-token", this.#directory],
        ...["--logger", "zap", "--log-level", "error"],
        ...(tls === undefined ? [] : ["--trusted-ca-file", tls.caFile, "--client-cert-auth"]),
        ...(tls === undefined ? [] : ["--cert-file", tls.certFile, "--key-file", tls.keyFile]),
        ...(this.#options.arguments ?? []),
      ],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    const ended = new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
      child.once("error", () => resolve());
    });
    const running: Running = { child, ended, output: "" };
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        running.output = (running.output + text).slice(-outputCharactersMax);
      });
    }
    this.#running.set(member, running);
  }

  /** It answers; with `hasLeader`, it also knows a leader. */
  async #untilHealthy(member: number, hasLeader: boolean): Promise<void> {
    const untilMs = performance.now() + startDeadlineMs;
    const running = this.#running.get(member);
    const port = Number(new URL(this.endpoints[member] ?? "").port);
    while (performance.now() < untilMs && running?.child.exitCode === null) {
      // Without a certificate nothing can be asked, and whoever comes next will wait for the leader.
      const isReady = this.#options.tls === undefined ? await isHealthy(port, hasLeader) : await accepts(port);
      if (isReady) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`etcd member ${member} does not come up; it printed:\n${running?.output}`);
  }
}

async function isHealthy(port: number, hasLeader: boolean): Promise<boolean> {
  try {
    const url = `http://127.0.0.1:${port}/v3/maintenance/status`;
    const response = await fetch(url, { method: "POST", body: "{}" });
    const { leader } = (await response.json()) as { readonly leader?: string };
    return response.ok && (!hasLeader || (leader !== undefined && leader !== "0"));
  } catch {
    return false;
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** Ports that nobody listens on now. All are held together first, so that no two are the same. */
async function freePorts(count: number): Promise<readonly number[]> {
  const holders = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    holders.map(
      (holder) =>
        new Promise<number>((resolve, reject) => {
          holder.once("error", reject);
          holder.listen(0, "127.0.0.1", () => {
            const address = holder.address();
            resolve(typeof address === "object" && address !== null ? address.port : 0);
          });
        }),
    ),
  );
  await Promise.all(holders.map((holder) => new Promise((resolve) => holder.close(resolve))));
  return ports;
}
