/** Server processes of a benchmark: a data directory of their own, free ports of the loopback, CPU time, a sure end. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Several servers that answer as one: what a load is pointed at. */
export interface Peer {
  readonly name: string;
  /** Where clients connect; every one of them will do. */
  readonly ports: readonly number[];
  /** Of all servers, as they run now. */
  pids(): readonly number[];
  /** Ends every process and removes their data. */
  stop(): Promise<void>;
}

/** A JVM that forms a quorum while other things run takes some seconds. */
export const startDeadlineMs = 60_000;
/** Long against a probe's cost, short against every start. */
const probePauseMs = 20;
/** Kept of what a server prints, for the message when it does not start. */
const outputCharactersMax = 4_000;

/** One server process. Whatever becomes of the benchmark, it ends with it. */
export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #output = "";

  constructor(program: string, arguments_: readonly string[], environment: NodeJS.ProcessEnv = {}) {
    if (program.startsWith("/") && !existsSync(program)) {
      throw new Error(`${program} is missing: run scripts/install-peers.sh`);
    }
    this.#child = spawn(program, arguments_, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...environment },
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once("exit", () => resolve());
      this.#child.once("error", (error) => {
        this.#keep(`${error.message}\n`);
        resolve();
      });
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => this.#keep(text));
    }
    const child = this.#child;
    const killWithParent = (): void => void child.kill("SIGKILL");
    process.once("exit", killWithParent);
    void this.#ended.then(() => process.off("exit", killWithParent));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null && this.#child.pid !== undefined;
  }

  /** The last that it printed. */
  get output(): string {
    return this.#output;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.isRunning) this.#child.kill(signal);
    await this.#ended;
  }

  #keep(text: string): void {
    this.#output = (this.#output + text).slice(-outputCharactersMax);
  }
}

/** Resolves when `probe` says yes; a probe that throws says no. Throws when the process ends or time is up. */
export async function untilReady(
  what: string,
  server: ServerProcess,
  probe: () => Promise<boolean> | boolean,
): Promise<void> {
  const deadlineMs = performance.now() + startDeadlineMs;
  while (performance.now() < deadlineMs && server.isRunning) {
    if (await answersYes(probe)) return;
    await pause(probePauseMs);
  }
  const how = server.isRunning ? `is not ready after ${startDeadlineMs} ms` : "ended";
  throw new Error(`${what} ${how}; it printed:\n${server.output}`);
}

async function answersYes(probe: () => Promise<boolean> | boolean): Promise<boolean> {
  try {
    return await probe();
  } catch {
    return false;
  }
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Ports that nobody listens on now. All are held together first, so that no two are the same. */
export async function freePorts(count: number): Promise<readonly number[]> {
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

/** Removed at the latest when this process ends, an interrupted one too. */
const temporaryDirectories = new Set<string>();

export async function temporaryDirectory(name: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), `quipu-bench-${name}-`));
  if (temporaryDirectories.size === 0) process.once("exit", removeTemporaryDirectories);
  temporaryDirectories.add(directory);
  return directory;
}

export async function removeDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  temporaryDirectories.delete(directory);
  if (temporaryDirectories.size === 0) process.off("exit", removeTemporaryDirectories);
}

function removeTemporaryDirectories(): void {
  // Servers killed a moment ago may still write: tried again by rmSync.
  for (const directory of temporaryDirectories) rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
}

/** User and system CPU seconds so far of these processes, of their living children and of those they waited for (Linux). */
export async function cpuSecondsOf(pids: readonly number[]): Promise<number> {
  const children = await childrenByParent();
  const wanted = [...pids];
  let seconds = 0;
  for (let next = wanted.pop(); next !== undefined; next = wanted.pop()) {
    seconds += await cpuSecondsOfOne(next);
    wanted.push(...(children.get(next) ?? []));
  }
  return seconds;
}

const clockTicksPerSecond = 100;

async function cpuSecondsOfOne(pid: number): Promise<number> {
  const fields = await statFields(pid);
  if (fields === undefined) throw new Error(`no process ${pid}: its CPU time is lost`);
  // proc(5): utime, stime, cutime, cstime are fields 14 to 17; ours begin with field 3.
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / clockTicksPerSecond;
}

async function childrenByParent(): Promise<ReadonlyMap<number, readonly number[]>> {
  const children = new Map<number, number[]>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = Number((await statFields(Number(name)))?.[1]);
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [Number(name)]);
    else siblings.push(Number(name));
  }
  return children;
}

/** From the state on: what stands before it, the program's name, may hold blanks and brackets. Undefined: it has ended. */
async function statFields(pid: number): Promise<readonly string[] | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}
