/** A cell of real processes that a test may hurt: fault nodes, each behind a proxy that the others come through. */
import { rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { ChildServer, freePort } from "../../local-cell/child-server.ts";
import { isWhole, LocalCell, type LocalNode } from "../../local-cell/local-cell.ts";
import type { NodeStatus } from "../../node-status.ts";
import type { FaultCommand } from "../fault-node.ts";
import { PeerProxy } from "./peer-proxy.ts";

/** From `src/testing/chaos` and `dist/testing/chaos` alike; the node itself runs what is built. */
const launcher = fileURLToPath(new URL("../../../dist/testing/fault-node.js", import.meta.url));

/** A node's start and a cell's recovery on a machine with other work to do; far more than either takes. */
const patienceMs = 90_000;
const pollMs = 50;

export class ChaosCell {
  readonly #cell: LocalCell;
  readonly #directory: string;
  readonly #proxies: ReadonlyMap<string, PeerProxy>;
  /** Nodes beyond the founders. */
  readonly #guests = new Map<string, LocalNode>();
  /** Nodes that the test itself ends, or makes end. */
  readonly #doomed = new Set<string>();
  /** What no test asked for: a process that ended by itself. */
  readonly surprises: string[] = [];

  private constructor(cell: LocalCell, directory: string, proxies: ReadonlyMap<string, PeerProxy>) {
    this.#cell = cell;
    this.#directory = directory;
    this.#proxies = proxies;
  }

  /** Where the others find the guest: its proxy. */
  guestAddress: { readonly host: string; readonly port: number } = { host: "127.0.0.1", port: 0 };

  static async start(directory: string, nodes: number): Promise<ChaosCell> {
    const ports = new Map<string, number>();
    // One more than founded: the guest.
    for (let index = 1; index <= nodes + 1; index++) ports.set(`n${index}`, await freePort());
    const peerPorts = new Map<string, number>();
    const cell = await LocalCell.prepare({
      directory,
      nodes,
      launcher: [launcher],
      startTimeoutMs: patienceMs,
      extraArguments: ["--checkpoint-seconds", "1"],
      addressSeenBy: (_viewer, target, port) => {
        peerPorts.set(target, port);
        return `127.0.0.1:${ports.get(target) as number}`;
      },
    });
    peerPorts.set(`n${nodes + 1}`, await freePort());
    const proxies = new Map<string, PeerProxy>();
    for (const [name, port] of peerPorts) {
      proxies.set(name, await PeerProxy.start(ports.get(name) as number, port));
    }
    const chaos = new ChaosCell(cell, directory, proxies);
    await chaos.#prepareGuest(`n${nodes + 1}`, ports, peerPorts);
    try {
      await Promise.all(cell.nodes.map((node) => chaos.restart(node)));
    } catch (error) {
      await chaos.dispose();
      throw error;
    }
    return chaos;
  }

  /** The founders, who have the clients. */
  get nodes(): readonly LocalNode[] {
    return this.#cell.nodes;
  }

  /** A node that is not in the cell until an operator adds it. */
  get guest(): LocalNode {
    return [...this.#guests.values()][0] as LocalNode;
  }

  proxyOf(node: LocalNode): PeerProxy {
    return this.#proxies.get(node.name) as PeerProxy;
  }

  leader(): Promise<LocalNode> {
    return this.until("a leader", () => this.#cell.leader());
  }

  status(node: LocalNode): Promise<NodeStatus | undefined> {
    return this.#cell.status([node]);
  }

  /** Through whichever node takes it; asked again while the cell has no leader. */
  async ask(request: object): Promise<string> {
    return this.until(JSON.stringify(request), async () => {
      for (const { server } of this.nodes.filter((node) => node.server.isRunning)) {
        const answer = await post(`${server.httpUrl}/v1/cluster/requests`, request);
        if (answer !== undefined) return answer;
      }
      return undefined;
    });
  }

  tell(node: LocalNode, command: FaultCommand): Promise<void> {
    return node.server.tell(command);
  }

  async kill(node: LocalNode): Promise<void> {
    this.#doomed.add(node.name);
    await node.server.stop("SIGKILL");
  }

  async stop(node: LocalNode): Promise<void> {
    this.#doomed.add(node.name);
    const { code, stderr } = await node.server.stop("SIGTERM");
    if (code !== 0) this.surprises.push(`${node.name} ended with ${code} on SIGTERM: ${stderr.slice(-2000)}`);
  }

  /** Waits until the node's process ends for a reason that the test gave it. */
  async expectEnd(node: LocalNode, makeItEnd: () => Promise<void>): Promise<void> {
    this.#doomed.add(node.name);
    // It may end before it has answered.
    await makeItEnd().catch(() => undefined);
    await this.until(`the end of ${node.name}`, () => Promise.resolve(node.server.isRunning ? undefined : true));
  }

  async restart(node: LocalNode): Promise<void> {
    this.#doomed.delete(node.name);
    const ready = node.server.restart();
    this.#watch(node);
    await ready;
  }

  wipe(node: LocalNode): void {
    rmSync(node.dataDirectory, { recursive: true, force: true });
  }

  /** Every link as it should be, every process running and awake, every disk and clock good. */
  async heal(): Promise<void> {
    for (const proxy of this.#proxies.values()) proxy.heal();
    for (const node of this.nodes) {
      if (!node.server.isRunning) continue;
      node.server.signal("SIGCONT");
      await this.tell(node, { type: "disk", state: "good" });
      await this.tell(node, { type: "clock", offsetMs: 0, rate: 1 });
    }
    await Promise.all(this.nodes.filter(({ server }) => !server.isRunning).map((node) => this.restart(node)));
  }

  /** Every founder votes and is ready, as each of them says. */
  async whenWhole(): Promise<void> {
    await this.until("a whole cell", async () => {
      const statuses = await Promise.all(this.nodes.map((node) => this.status(node)));
      const cells = statuses.map((status) => status?.cell ?? undefined);
      return cells.every((cell) => cell !== undefined && isWhole(cell, this.nodes.length)) ? true : undefined;
    });
  }

  /** One state on all nodes: the same hash at the same position. Nobody may write meanwhile. Resolves to the hash. */
  async whenEqual(): Promise<string> {
    let last = "";
    return this.until(
      () => `one state on all nodes: ${last}`,
      async () => {
        const shards = await Promise.all(this.nodes.map(async (node) => (await this.status(node))?.shards[0]));
        last = shards.map((shard) => `${shard?.appliedPosition}: ${shard?.stateHash}`).join(", ");
        const [first] = shards;
        if (first === undefined || first.stateHash === null) return undefined;
        const isSame = shards.every(
          (shard) => shard?.appliedPosition === first.appliedPosition && shard.stateHash === first.stateHash,
        );
        return isSame ? first.stateHash : undefined;
      },
    );
  }

  async until<Result>(what: string | (() => string), look: () => Promise<Result | undefined>): Promise<Result> {
    const endMs = performance.now() + patienceMs;
    for (;;) {
      const found = await look();
      if (found !== undefined) return found;
      if (performance.now() > endMs) {
        throw new Error(`waited ${patienceMs} ms in vain for ${typeof what === "string" ? what : what()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  async dispose(): Promise<void> {
    for (const node of [...this.nodes, ...this.#guests.values()]) {
      this.#doomed.add(node.name);
      node.server.killNow();
    }
    await Promise.all([...this.#proxies.values()].map((proxy) => proxy.close()));
  }

  #watch(node: LocalNode): void {
    void node.server.exited.then(({ code, signal, stdout, stderr }) => {
      if (this.#doomed.has(node.name)) return;
      this.surprises.push(
        `${node.name} ended by itself (${signal ?? `code ${code}`}): ${stdout}${stderr.slice(-3000)}`,
      );
    });
  }

  async #prepareGuest(
    name: string,
    ports: ReadonlyMap<string, number>,
    peerPorts: ReadonlyMap<string, number>,
  ): Promise<void> {
    const dataDirectory = path.join(this.#directory, name);
    this.guestAddress = { host: "127.0.0.1", port: ports.get(name) as number };
    const peerPort = peerPorts.get(name) as number;
    const server = await ChildServer.prepare({
      dataDirectory,
      launcher: [launcher],
      startTimeoutMs: patienceMs,
      extraArguments: [
        "--name",
        name,
        "--cell-peers",
        [...ports].map(([each, port]) => `${each}=127.0.0.1:${port}`).join(","),
        "--cell-secret-file",
        this.#cell.secretFile,
        "--peer-port",
        String(peerPort),
      ],
    });
    this.#guests.set(name, { name, peerPort, dataDirectory, server });
  }
}

/** Undefined: not now, ask again. Throws where the cell refuses for good. */
async function post(url: string, body: object): Promise<string | undefined> {
  let response: Response;
  try {
    response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(patienceMs),
    });
  } catch {
    return undefined;
  }
  const document = (await response.json().catch(() => ({}))) as { text?: string; detail?: string };
  if (response.ok) return document.text ?? "";
  if (response.status >= 500) return undefined;
  throw new Error(`the cell refuses ${JSON.stringify(body)}: ${document.detail ?? response.status}`);
}
