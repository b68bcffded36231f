/** Our own cell: node processes on the loopback that may be killed and started again one by one. */
import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ask } from "./ask.ts";
import {
  freePorts,
  type Peer,
  pause,
  removeDirectory,
  ServerProcess,
  startDeadlineMs,
  temporaryDirectory,
  untilReady,
} from "./processes.ts";

const cli = fileURLToPath(new URL("../../../packages/server/bin/quipu.js", import.meta.url));
const readyLine = /^quipu \S+ is ready: RESP \S+:(\d+), HTTP \S+:(\d+)/m;
/** Between two looks at a cell that is not whole yet. */
const lookPauseMs = 50;

interface NodePlace {
  readonly name: string;
  readonly directory: string;
  readonly peerPort: number;
  readonly respPort: number;
  readonly httpPort: number;
}

/** What a benchmark needs of `GET /v1/cluster`. */
interface ClusterView {
  /** Its name; undefined: none is known. */
  readonly leader: string | undefined;
}

/** The one place that knows the shape of `GET /v1/cluster`. A single process leads itself. */
function clusterView(body: unknown, self: string): ClusterView {
  const { cell } = body as { readonly cell: { readonly leader: string | null } | null };
  return { leader: cell === null ? self : (cell.leader ?? undefined) };
}

/** The SDK's address of these doors. */
export function quipuAddress(ports: readonly number[]): string {
  return `quipu://${ports.map((port) => `127.0.0.1:${port}`).join(",")}`;
}

/** `nodes` of 1: a single process without peers, to try the harness and to see what replication costs. */
export async function startCell(nodes = 3, engine?: Engine): Promise<QuipuCell> {
  const directory = await temporaryDirectory("cell");
  const ports = await freePorts(3 * nodes);
  const places = Array.from({ length: nodes }, (_, place): NodePlace => ({
    name: `n${place + 1}`,
    directory: join(directory, `n${place + 1}`),
    peerPort: ports[place] ?? 0,
    respPort: ports[nodes + place] ?? 0,
    httpPort: ports[2 * nodes + place] ?? 0,
  }));
  const secretFile = join(directory, "cell-secret");
  await writeFile(secretFile, `${randomBytes(32).toString("hex")}\n`, { mode: 0o600 });
  for (const place of places) await mkdir(place.directory, { mode: 0o700 });
  const cell = new QuipuCell(directory, places, secretFile, engine);
  try {
    // Together: a cell forms when every listed peer is there.
    await Promise.all(places.map(({ name }) => cell.start(name)));
    await cell.untilWhole();
  } catch (error) {
    await cell.stop();
    throw error;
  }
  return cell;
}

/** What keeps the log of a cell. */
export interface Engine {
  readonly name: "raft" | "multi-paxos" | "etcd" | "zookeeper";
  /** Client ports of the service. */
  readonly ports?: readonly number[];
}

export class QuipuCell implements Peer {
  readonly name: string;
  readonly #engine: Engine | undefined;
  readonly #directory: string;
  readonly #places: readonly NodePlace[];
  readonly #secretFile: string;
  readonly #servers = new Map<string, ServerProcess>();

  constructor(directory: string, places: readonly NodePlace[], secretFile: string, engine: Engine | undefined) {
    const on = engine === undefined ? "" : ` on ${engine.name}`;
    this.name = places.length === 1 ? `quipu, a single process${on}` : `quipu, ${places.length} nodes${on}`;
    this.#engine = engine;
    this.#directory = directory;
    this.#places = places;
    this.#secretFile = secretFile;
  }

  get ports(): readonly number[] {
    return this.#places.map(({ respPort }) => respPort);
  }

  get names(): readonly string[] {
    return this.#places.map(({ name }) => name);
  }

  port(name: string): number {
    return this.#place(name).respPort;
  }

  pids(): readonly number[] {
    return [...this.#servers.values()].map((server) => server.pid);
  }

  /** Starts a node, for the first time or again on its data, and waits until it says that it serves. */
  async start(name: string): Promise<void> {
    const place = this.#place(name);
    const server = new ServerProcess(process.execPath, [cli, "start", ...this.#flags(place)]);
    this.#servers.set(name, server);
    await untilReady(`quipu ${name}`, server, () => readyLine.test(server.output));
  }

  /** SIGKILL, and waits for the end. */
  async kill(name: string): Promise<void> {
    const server = this.#servers.get(name);
    this.#servers.delete(name);
    await server?.end("SIGKILL");
  }

  /** The leader that every living node names; undefined while they do not agree. */
  async leader(): Promise<string | undefined> {
    const views = await Promise.all([...this.#servers.keys()].map((name) => this.#view(name)));
    const leader = views[0]?.leader;
    return views.every((view) => view?.leader === leader) ? leader : undefined;
  }

  async followers(): Promise<readonly string[]> {
    const leader = await this.leader();
    if (leader === undefined) throw new Error("the nodes do not agree on a leader");
    return this.names.filter((name) => name !== leader);
  }

  /** Until every node runs, all name one leader, and each answers a linearizable read: it has caught up with the log. */
  async untilWhole(): Promise<void> {
    const deadlineMs = performance.now() + startDeadlineMs;
    while (performance.now() < deadlineMs) {
      if (await this.#isWhole()) return;
      await pause(lookPauseMs);
    }
    const printed = [...this.#servers].map(([name, server]) => `${name}: ${server.output}`).join("\n");
    throw new Error(`the cell is not whole after ${startDeadlineMs} ms; its nodes printed:\n${printed}`);
  }

  async transferLeadership(to: string, through: string): Promise<void> {
    await this.#ask({ type: "transferLeadership", to }, through);
  }

  /** Lets the log go on there. */
  async switchEngine({ name, ports }: Engine): Promise<void> {
    const endpoints = ports?.map((port) => `127.0.0.1:${port}`);
    const deadlineMs = performance.now() + startDeadlineMs;
    for (;;) {
      try {
        await this.#ask({ type: "switchEngine", engine: name, endpoints }, this.names[0] ?? "");
        return;
      } catch (error) {
        // Definite: a cell that was just founded has no roster yet, one that changes its leader none to ask.
        if (!String(error).includes("OVERLOADED") || performance.now() > deadlineMs) throw error;
        await pause(lookPauseMs);
      }
    }
  }

  /** What the command line asks, without a process of its own that would take a core meanwhile. */
  async #ask(request: Readonly<Record<string, unknown>>, through: string): Promise<void> {
    const response = await fetch(`http://127.0.0.1:${this.#place(through).httpPort}/v1/cluster/requests`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(request),
    });
    if (!response.ok) throw new Error(`${JSON.stringify(request)}: ${response.status} ${await response.text()}`);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#servers.values()].map((server) => server.end("SIGKILL")));
    await removeDirectory(this.#directory);
  }

  #flags({ name, directory, respPort, httpPort }: NodePlace): readonly string[] {
    const engine = this.#engine === undefined ? [] : ["--engine", this.#engine.name];
    const endpoints = this.#engine?.ports?.map((port) => `127.0.0.1:${port}`).join(",");
    const log = [...engine, ...(endpoints === undefined ? [] : ["--endpoints", endpoints])];
    const common = ["--data", directory, "--resp-port", String(respPort), "--http-port", String(httpPort), ...log];
    if (this.#places.length === 1) return [...common, "--log-level", "warn"];
    const peers = this.#places.map((place) => `${place.name}=127.0.0.1:${place.peerPort}`).join(",");
    const membership = ["--name", name, "--cell-peers", peers, "--cell-secret-file", this.#secretFile];
    return [...common, ...membership, "--log-level", "warn"];
  }

  async #isWhole(): Promise<boolean> {
    if (this.#servers.size < this.#places.length || (await this.leader()) === undefined) return false;
    const reads = this.#places.map(async ({ respPort }) => {
      try {
        return (await ask(respPort, "GET bench:probe")).startsWith("$");
      } catch {
        return false;
      }
    });
    return (await Promise.all(reads)).every(Boolean);
  }

  async #view(name: string): Promise<ClusterView | undefined> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.#place(name).httpPort}/v1/cluster`, {
        signal: AbortSignal.timeout(1_000),
      });
      return clusterView(await response.json(), name);
    } catch {
      return undefined;
    }
  }

  #place(name: string): NodePlace {
    const place = this.#places.find((candidate) => candidate.name === name);
    if (place === undefined) throw new Error(`no node is called ${name}`);
    return place;
  }
}
