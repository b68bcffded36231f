/**
 * An ensemble of Debian's ZooKeeper (package `zookeeper`) on the loopback, in a temporary folder: one or three servers, which
 * can be killed, paused and started again. A JVM takes a second or two to start: one ensemble for each file of tests.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

const jar = "/usr/share/java/zookeeper.jar";
const java = "/usr/bin/java";
/** Enough for some thousand small nodes and a few of a megabyte. */
const heap = ["-Xms32m", "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/** Sessions may ask for two ticks at least: a dead connection is noticed in two thirds of a second. */
const tickMs = 500;
/** Three JVMs on a busy machine. */
const startDeadlineMs = 90_000;
const probePauseMs = 25;
const outputCharactersMax = 8_000;

/** Undefined: it is installed. Else a line for people. Throws under CI, where it must be. */
export function zooKeeperMissing(): string | undefined {
  if (existsSync(jar) && existsSync(java)) return undefined;
  const line = "ZooKeeper is missing (Debian: apt-get install zookeeper, or scripts/install-peers.sh)";
  if (process.env["CI"] !== undefined) throw new Error(`${line}; under CI its tests are not skipped`);
  return line;
}

export interface ZooKeeperEnsemble {
  /** `127.0.0.1:port` of every server. */
  readonly endpoints: readonly string[];
  /** Of all servers that run. */
  pids(): readonly number[];
  /** SIGKILL; resolves when the process is gone. */
  kill(server: number): Promise<void>;
  /** Starts a killed server again, on what it has on its disk; resolves when it answers. */
  restart(server: number): Promise<void>;
  /** Stands still, with all its connections open, until `resume`. */
  pause(server: number): void;
  resume(server: number): void;
  /** Which server leads: its number, or -1. */
  leader(): Promise<number>;
  /** Ends every process and removes their data. */
  stop(): Promise<void>;
}

export async function startZooKeeper(servers: 1 | 3): Promise<ZooKeeperEnsemble> {
  const directory = await mkdtemp(path.join(tmpdir(), "quipu-zookeeper-"));
  const ports = await freePorts(3 * servers);
  const clientPorts = ports.slice(0, servers);
  const members = clientPorts.map(
    (_, i) => `server.${i + 1}=127.0.0.1:${ports[servers + i]}:${ports[2 * servers + i]}`,
  );
  const files = await Promise.all(
    clientPorts.map((port, i) =>
      configure(path.join(directory, `${i + 1}`), i + 1, port, servers === 1 ? [] : members),
    ),
  );
  const started = files.map((file) => new Server(file));
  const at = (server: number): Server => {
    const found = started[server];
    if (found === undefined) throw new Error(`no server ${server}`);
    return found;
  };
  const removeAtExit = (): void => {
    for (const server of started) server.signal("SIGKILL");
    rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
  };
  process.once("exit", removeAtExit);
  const stop = async (): Promise<void> => {
    await Promise.all(started.map((server) => server.kill()));
    await rm(directory, { recursive: true, force: true, maxRetries: 10 });
    process.off("exit", removeAtExit);
  };
  const untilReady = (server: number): Promise<void> => at(server).untilReady(clientPorts[server] ?? 0);
  try {
    await Promise.all(started.map((_, server) => untilReady(server)));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    endpoints: clientPorts.map((port) => `127.0.0.1:${port}`),
    pids: () => started.filter((server) => server.isRunning).map((server) => server.pid),
    kill: (server) => at(server).kill(),
    restart: async (server) => {
      at(server).start();
      await untilReady(server);
    },
    pause: (server) => at(server).signal("SIGSTOP"),
    resume: (server) => at(server).signal("SIGCONT"),
    leader: async () => {
      const modes = await Promise.all(clientPorts.map((port) => modeOf(port)));
      return modes.findIndex((mode) => mode === "leader" || mode === "standalone");
    },
    stop,
  };
}

class Server {
  readonly #file: string;
  #child: ChildProcess;
  #ended: Promise<void>;
  #output = "";

  constructor(file: string) {
    this.#file = file;
    [this.#child, this.#ended] = this.#spawn();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  start(): void {
    if (this.isRunning) throw new Error("it runs already");
    [this.#child, this.#ended] = this.#spawn();
  }

  signal(signal: NodeJS.Signals): void {
    if (this.isRunning) this.#child.kill(signal);
  }

  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.#ended;
  }

  async untilReady(port: number): Promise<void> {
    const deadlineMs = performance.now() + startDeadlineMs;
    while (performance.now() < deadlineMs && this.isRunning) {
      if ((await modeOf(port)) !== undefined) return;
      await new Promise((resolve) => setTimeout(resolve, probePauseMs));
    }
    throw new Error(`ZooKeeper is not ready; it printed:\n${this.#output}`);
  }

  #spawn(): [ChildProcess, Promise<void>] {
    const child = spawn(
      java,
      [
        ...heap,
        "-Dzookeeper.admin.enableServer=false",
        "-Dzookeeper.4lw.commands.whitelist=srvr",
        "-Dzookeeper.preAllocSize=1024", // KiB, of each log file; 64 MiB else.
        ...["-cp", jar, "org.apache.zookeeper.server.quorum.QuorumPeerMain", this.#file],
      ],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    const keep = (text: string): void => {
      this.#output = (this.#output + text).slice(-outputCharactersMax);
    };
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", keep);
    const ended = new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
      child.once("error", (error) => {
        keep(error.message);
        resolve();
      });
    });
    return [child, ended];
  }
}

async function configure(directory: string, id: number, port: number, members: readonly string[]): Promise<string> {
  await mkdir(directory);
  await writeFile(path.join(directory, "myid"), `${id}\n`);
  const file = path.join(directory, "zoo.cfg");
  const lines = [
    `tickTime=${tickMs}`,
    "initLimit=20",
    "syncLimit=6",
    `dataDir=${directory}`,
    `clientPort=${port}`,
    "clientPortAddress=127.0.0.1",
    "maxClientCnxns=0",
    ...members,
  ];
  await writeFile(file, `${lines.join("\n")}\n`);
  return file;
}

/** Undefined: it does not serve. */
async function modeOf(port: number): Promise<string | undefined> {
  const answer = await fourLetterWord(port, "srvr").catch(() => "");
  return /^Mode: (leader|follower|standalone)/m.exec(answer)?.[1];
}

/** ZooKeeper's administrative commands: four letters there, some lines back, and the connection ends. */
function fourLetterWord(port: number, word: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(word));
    socket.setEncoding("utf8").setTimeout(1_000, () => socket.destroy());
    socket.on("data", (text: string) => (answer += text));
    socket.once("error", reject);
    socket.once("close", () => resolve(answer));
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
