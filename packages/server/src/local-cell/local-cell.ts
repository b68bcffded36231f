/** A cell of several processes on this machine: `quipu dev`, the demo, tests and benchmarks. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fetchStatus } from "../cli/endpoint.ts";
import type { CellStatus, NodeStatus } from "../node-status.ts";
import { ChildServer, type ChildServerOptions, freePort } from "./child-server.ts";

export interface LocalCellOptions {
  /** One directory for each node, and the secret, lie below it. */
  readonly directory: string;
  readonly nodes: number;
  /** The first node's ports; the second has them + 10, and so on (DESIGN §5). Free ones where they are not given. */
  readonly firstPorts?: { readonly resp: number; readonly http: number; readonly peer: number };
  readonly extraArguments?: readonly string[];
  /** The first so many found the cell; the others join when they are added. Default: all found it. */
  readonly founders?: number;
  /** For some node only. */
  readonly argumentsOf?: (name: string) => readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Instead of the `quipu` command; tests only. */
  readonly launcher?: readonly string[];
  /** Where each node finds another, if not at its own address: tests put proxies in between. */
  readonly addressSeenBy?: (viewer: string, target: string, port: number) => string;
  readonly startTimeoutMs?: number;
}

export interface LocalNode {
  readonly name: string;
  readonly peerPort: number;
  readonly dataDirectory: string;
  readonly server: ChildServer;
}

/** Between the ports of one node and those of the next. */
const portStep = 10;

export class LocalCell {
  readonly secretFile: string;
  readonly #nodes: LocalNode[] = [];

  private constructor(directory: string) {
    this.secretFile = path.join(directory, "cell-secret");
  }

  /** Chooses ports and makes the secret; nothing is started. */
  static async prepare(options: LocalCellOptions): Promise<LocalCell> {
    mkdirSync(options.directory, { recursive: true });
    const cell = new LocalCell(options.directory);
    if (!existsSync(cell.secretFile)) {
      writeFileSync(cell.secretFile, `${randomBytes(32).toString("hex")}\n`, { mode: 0o600 });
    }
    const peerPorts = new Map<string, number>();
    for (let index = 0; index < options.nodes; index++) {
      const fixed = options.firstPorts === undefined ? undefined : options.firstPorts.peer + index * portStep;
      peerPorts.set(`n${index + 1}`, fixed ?? (await freePort()));
    }
    for (const [index, name] of [...peerPorts.keys()].entries()) {
      const node = await prepareNode(options, cell.secretFile, name, index, peerPorts);
      cell.#nodes.push(node);
    }
    return cell;
  }

  /** The same, and all nodes serve. */
  static async start(options: LocalCellOptions): Promise<LocalCell> {
    const cell = await LocalCell.prepare(options);
    try {
      await cell.startAll();
      return cell;
    } catch (error) {
      cell.killNow();
      throw error;
    }
  }

  get nodes(): readonly LocalNode[] {
    return this.#nodes;
  }

  node(name: string): LocalNode {
    const node = this.#nodes.find((each) => each.name === name);
    if (node === undefined) throw new Error(`the cell has no node ${name}`);
    return node;
  }

  /** For the SDK: every node's door. */
  get url(): string {
    return `quipu://${this.#nodes.map(({ server }) => `127.0.0.1:${server.respPort}`).join(",")}`;
  }

  async startAll(): Promise<void> {
    await Promise.all(this.#nodes.map(({ server }) => server.restart()));
  }

  /** Starts the founders. */
  async startFounders(founders: number): Promise<void> {
    await Promise.all(this.#nodes.slice(0, founders).map(({ server }) => server.restart()));
  }

  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const running = this.#nodes.filter(({ server }) => server.isRunning);
    await Promise.all(running.map(({ server }) => server.stop(signal)));
  }

  killNow(): void {
    for (const { server } of this.#nodes) server.killNow();
  }

  /** What the first node that answers says; undefined where none does. */
  async status(from: readonly LocalNode[] = this.#nodes): Promise<NodeStatus | undefined> {
    const answers = from.filter(({ server }) => server.isRunning).map(({ server }) => fetchStatus(server.httpUrl, {}));
    return Promise.any(answers).catch(() => undefined);
  }

  /**
   * The node that leads, as most say: one that was cut off may still say otherwise. Undefined: none, or nobody says so.
   */
  async leader(): Promise<LocalNode | undefined> {
    const statuses = await Promise.all(this.#nodes.map((node) => this.status([node])));
    const votes = new Map<string, number>();
    for (const status of statuses) {
      const name = status?.cell?.leader;
      if (name !== null && name !== undefined) votes.set(name, (votes.get(name) ?? 0) + 1);
    }
    const [best] = [...votes].toSorted(([, left], [, right]) => right - left);
    return best === undefined ? undefined : this.node(best[0]);
  }
}

/** Every node votes, is ready, and has come to within `lagMax` of the furthest. */
export function isWhole(cell: CellStatus, nodes: number, lagMax = 1000): boolean {
  const whole = cell.nodes.filter(
    ({ standing, isReady, lag }) => standing === "voter" && isReady && lag !== null && lag <= lagMax,
  );
  return cell.leader !== null && whole.length === nodes;
}

async function prepareNode(
  options: LocalCellOptions,
  secretFile: string,
  name: string,
  index: number,
  peerPorts: ReadonlyMap<string, number>,
): Promise<LocalNode> {
  const { directory, firstPorts, environment, launcher, startTimeoutMs, addressSeenBy } = options;
  const peerPort = peerPorts.get(name) as number;
  // Founders are told of each other. Who joins later is told of all: until it has the cell's roster it lets in nobody else, and
  // any of them may lead.
  const founders = options.founders ?? options.nodes;
  const known = [...peerPorts].slice(0, index < founders ? founders : undefined);
  const seen = known.map(([target, port]) => `${target}=${addressSeenBy?.(name, target, port) ?? `127.0.0.1:${port}`}`);
  const dataDirectory = path.join(directory, name);
  const server: ChildServerOptions = {
    dataDirectory,
    ...(firstPorts === undefined
      ? {}
      : { respPort: firstPorts.resp + index * portStep, httpPort: firstPorts.http + index * portStep }),
    extraArguments: [
      "--name",
      name,
      "--cell-peers",
      seen.join(","),
      "--cell-secret-file",
      secretFile,
      "--peer-port",
      String(peerPort),
      ...(options.extraArguments ?? []),
      ...(options.argumentsOf?.(name) ?? []),
    ],
    ...(environment === undefined ? {} : { environment }),
    ...(launcher === undefined ? {} : { launcher }),
    ...(startTimeoutMs === undefined ? {} : { startTimeoutMs }),
  };
  return { name, peerPort, dataDirectory, server: await ChildServer.prepare(server) };
}
