/**
 * The clients of a cell. Each is connected to one node; when that dies, or answers nothing for longer than the client's
 * patience, it goes to another and asks again for whatever has a name (idempotency key, session number).
 */
import type { Random } from "@quipu/core";
import { type ClientObserver, SimulatedClient } from "../client.ts";
import type { History } from "../history.ts";
import type { Ledger } from "../ledger.ts";
import type { ProcessLife, Scheduler } from "../scheduler.ts";
import type { Trace } from "../trace.ts";
import { Workload } from "../workload.ts";
import type { CellHost } from "./host.ts";
import { RemoteDoor } from "./remote-door.ts";
import type { CellSwarm } from "./swarm.ts";

export interface CellLoadOptions {
  readonly random: Random;
  readonly split: () => Random;
  readonly swarm: CellSwarm;
  readonly scheduler: Scheduler;
  readonly history: History;
  readonly ledger: Ledger;
  readonly trace: Trace;
  readonly hosts: readonly CellHost[];
  readonly guard: (action: () => void) => void;
  readonly observer: ClientObserver;
  /** New requests are wanted; or only those that must still be resolved; or none. */
  readonly wanted: () => "new" | "unresolved" | "none";
  readonly met: (fault: string, host: CellHost) => void;
  readonly afterGo: (host: CellHost) => void;
}

interface Seat {
  readonly client: SimulatedClient;
  host: CellHost;
  door: RemoteDoor | undefined;
}

/** One way from a client to its node. */
const clientLatencyUs = 300;
/** How often a client that only resolves looks whether it can go on. */
const resolveEveryUs = 20_000;
/** In the healed part nobody storms: a few at once, and time for the slowest draw of disks and links. */
const resolvedAtOnceMax = 8;
const healedPatienceUs = 5_000_000;

export class CellLoad {
  readonly #options: CellLoadOptions;
  readonly #workload: Workload;
  readonly #seats: readonly Seat[];
  #goesLeft: number;

  constructor(options: CellLoadOptions) {
    this.#options = options;
    const { split, swarm, history, hosts, scheduler } = options;
    this.#workload = new Workload(split(), swarm, (key) => history.versionOf(key));
    this.#seats = Array.from({ length: swarm.clients }, (_, i) => {
      const { ledger, trace, guard, observer } = options;
      const client = new SimulatedClient({
        name: `c${i}`,
        random: split(),
        workload: this.#workload,
        history,
        ledger,
        trace,
        pipelineMax: swarm.pipelineMax,
        guard,
        nowUs: () => scheduler.nowUs,
        observer,
        readsOnly: i >= swarm.clients - swarm.readers,
      });
      return { client, host: hosts[i % hosts.length] as CellHost, door: undefined };
    });
    this.#goesLeft = swarm.goes;
  }

  get isOver(): boolean {
    return this.#goesLeft <= 0;
  }

  get hasUnflushed(): boolean {
    return this.#seats.some(({ client }) => client.hasUnflushed);
  }

  get isResolved(): boolean {
    return !this.#seats.some(({ client }) => client.unresolvedCount + client.pendingCount > 0);
  }

  /** Per client where it is, how many requests are under way and how many have an unknown outcome. */
  get waiting(): string {
    return this.#seats
      .map(({ client, host }) => `node ${host.node}: ${client.pendingCount}+${client.unresolvedCount}`)
      .join(", ");
  }

  start(): void {
    for (const seat of this.#seats) this.#schedule(seat);
  }

  /** The process behind these connections is gone. */
  disconnected(life: ProcessLife): void {
    for (const seat of this.#seats) if (seat.door?.life === life) this.#leave(seat);
  }

  #schedule(seat: Seat): void {
    const { scheduler, random, swarm, wanted } = this.#options;
    const want = wanted();
    if (want === "none") return;
    const thinkUs = want === "new" ? random.below(2 * swarm.thinkUs) : resolveEveryUs;
    scheduler.schedule(thinkUs, undefined, () => {
      this.#options.guard(() => this.#go(seat));
      this.#schedule(seat);
    });
  }

  #go(seat: Seat): void {
    const { scheduler, swarm, wanted, random, met, afterGo } = this.#options;
    const { client } = seat;
    const patienceUs = wanted() === "new" ? swarm.patienceUs : Math.max(swarm.patienceUs, healedPatienceUs);
    if (scheduler.nowUs - client.oldestSentUs > patienceUs) {
      met("client's patience ends", seat.host);
      this.#leave(seat);
      this.#move(seat);
    } else if (client.pendingCount === 0 && random.chance(1, 30)) this.#move(seat);
    const { host } = seat;
    const { process } = host;
    if (!host.isReachable || process === undefined) {
      this.#move(seat);
      return;
    }
    const door = this.#doorOf(seat);
    const server = { door, isServing: process.isServing };
    if (wanted() === "unresolved") {
      if (client.pendingCount === 0) client.resolve(server, resolvedAtOnceMax);
      return;
    }
    this.#goesLeft -= 1;
    if (!this.#workload.isBounded) client.bound(server);
    client.go(server);
    afterGo(host);
  }

  #doorOf(seat: Seat): RemoteDoor {
    const { scheduler, random } = this.#options;
    const { life, process } = seat.host;
    if (seat.door?.life === life) return seat.door;
    if (process === undefined) throw new Error(`node ${seat.host.node} has no door`);
    seat.door = new RemoteDoor({ door: process.door, life, scheduler, random, latencyUs: clientLatencyUs });
    return seat.door;
  }

  #leave(seat: Seat): void {
    seat.client.disconnected();
    seat.door = undefined;
  }

  /** To another node, if it has nothing under way at this one. */
  #move(seat: Seat): void {
    const { hosts, random } = this.#options;
    if (seat.client.pendingCount > 0) return;
    this.#leave(seat);
    seat.host = hosts[random.below(hosts.length)] as CellHost;
  }
}
