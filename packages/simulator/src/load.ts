/** Everybody who asks something of the node: its clients, another node that writes to the same log, and when they go. */
import type { Random } from "@quipu/core";
import { SimulatedClient } from "./client.ts";
import type { History } from "./history.ts";
import type { Ledger } from "./ledger.ts";
import type { SimulatedNode } from "./node.ts";
import { Peer } from "./peer.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SwarmConfiguration } from "./swarm.ts";
import type { Trace } from "./trace.ts";
import { Workload } from "./workload.ts";

export interface LoadOptions {
  /** When they go. */
  readonly random: Random;
  /** A new stream of chance for each who asks. */
  readonly split: () => Random;
  readonly swarm: SwarmConfiguration;
  readonly scheduler: Scheduler;
  readonly history: History;
  readonly ledger: Ledger;
  readonly trace: Trace;
  readonly guard: (action: () => void) => void;
  /** New requests are wanted; or only those that must still be resolved; or none. */
  readonly wanted: () => "new" | "unresolved" | "none";
  /** The node, where anybody may reach it. */
  readonly node: () => SimulatedNode | undefined;
  /** Called before each go. */
  readonly beforeGo: (node: SimulatedNode) => void;
  readonly afterGo: (node: SimulatedNode) => void;
}

export class Load {
  readonly #options: LoadOptions;
  readonly #workload: Workload;
  readonly #clients: readonly SimulatedClient[];
  readonly #peer: Peer | undefined;
  #goesLeft: number;

  constructor(options: LoadOptions) {
    this.#options = options;
    const { split, swarm, history, ledger } = options;
    this.#workload = new Workload(split(), swarm, (key) => history.versionOf(key));
    this.#clients = Array.from({ length: swarm.clients }, (_, i) => this.#makeClient(`c${i}`, split()));
    this.#peer = swarm.peer ? new Peer(split(), this.#workload, ledger) : undefined;
    this.#goesLeft = swarm.goes;
  }

  get isOver(): boolean {
    return this.#goesLeft <= 0;
  }

  get hasUnflushed(): boolean {
    return this.#clients.some((client) => client.hasUnflushed);
  }

  get isResolved(): boolean {
    const open = this.#clients.some((client) => client.unresolvedCount + client.pendingCount > 0);
    return !open && this.#peer?.isIdle !== false;
  }

  /** Per client how many requests are under way and how many have an unknown outcome. */
  get waiting(): string {
    return this.#clients.map((client) => `${client.pendingCount}+${client.unresolvedCount}`).join(", ");
  }

  start(): void {
    for (const client of this.#clients) this.#scheduleGo(client);
    if (this.#peer !== undefined) this.#schedulePeer(this.#peer);
  }

  /** Sets up the bounds of the bounded keys, unless somebody knows that they are. */
  bound(node: SimulatedNode): void {
    if (!this.#workload.isBounded) this.#clients[0]?.bound(node);
  }

  resolve(node: SimulatedNode): void {
    for (const client of this.#clients) client.resolve(node);
  }

  disconnected(): void {
    for (const client of this.#clients) client.disconnected();
    this.#peer?.disconnected();
  }

  #makeClient(name: string, random: Random): SimulatedClient {
    const { history, ledger, trace, guard, swarm } = this.#options;
    const { pipelineMax } = swarm;
    return new SimulatedClient({ name, random, workload: this.#workload, history, ledger, trace, pipelineMax, guard });
  }

  #scheduleGo(client: SimulatedClient): void {
    const { scheduler, random, swarm, wanted } = this.#options;
    scheduler.schedule(random.below(2 * swarm.thinkUs), undefined, () => {
      if (wanted() !== "new") return;
      this.#go(client);
      this.#scheduleGo(client);
    });
  }

  #go(client: SimulatedClient): void {
    const { node: reach, beforeGo, afterGo, guard } = this.#options;
    const node = reach();
    if (node === undefined) return;
    this.#goesLeft -= 1;
    beforeGo(node);
    guard(() => client.go(node));
    afterGo(node);
  }

  #schedulePeer(peer: Peer): void {
    const { scheduler, random, swarm, wanted, node: reach, guard } = this.#options;
    scheduler.schedule(random.below(4 * swarm.thinkUs), undefined, () => {
      const want = wanted();
      if (want === "none") return;
      const node = reach();
      if (node?.isServing === true) peer.go(node.log, node.door.stampNowMs(), want === "unresolved", guard);
      this.#schedulePeer(peer);
    });
  }
}
