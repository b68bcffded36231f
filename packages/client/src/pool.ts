/**
 * The links to all endpoints, one each, and what their use has shown: which to take next (a Balancer), which to leave,
 * how long a reply usually takes, and how much may be sent twice.
 */
import type { Clock, QuipuError } from "@quipu/core";
import { type Balancer, createBalancer, LatencyQuantile, RetryBudget, retryBudgetDefaults } from "@quipu/routing";
import { askForDoors } from "./discovery.ts";
import { type Address, type Endpoint, endpointName, endpointsMax } from "./endpoints.ts";
import { Link } from "./link.ts";
import type { ResolvedOptions } from "./options.ts";

/** A reply is overdue after so many times what all but one in a hundred take … */
const hedgeFactor = 4;
const slowestPerMille = 10;

/** … but a bad time must not teach the client to wait for ever. */
export const hedgeMaxMs = 2000;

/** Refused: for the moment. */
export type AttemptResult = "succeeded" | "refused" | "lost";

export interface PoolEvents {
  ready(): void;
  lost(link: Link, cause: QuipuError): void;
}

export class Pool {
  /** False: one endpoint and no other to come. Then nothing is measured, chosen or hedged. */
  readonly balanced: boolean;
  readonly budget: RetryBudget;
  readonly #address: Address;
  readonly #options: ResolvedOptions;
  readonly #clock: Clock;
  readonly #events: PoolEvents;
  readonly #balancer: Balancer;
  readonly #latencies = new LatencyQuantile();
  /** By index at the balancer. */
  readonly #links: Link[] = [];

  constructor(address: Address, options: ResolvedOptions, events: PoolEvents) {
    this.#address = address;
    this.#options = options;
    this.#clock = options.ports.clock;
    this.#events = events;
    this.balanced = address.endpoints.length > 1 || options.discover === true;
    this.#balancer = createBalancer({ policy: options.balancer, random: options.ports.random, zone: options.zone });
    this.budget = new RetryBudget(retryBudgetDefaults, this.#clock.monotonicMs());
  }

  start(): void {
    for (const endpoint of this.#address.endpoints) this.#add(endpoint);
  }

  get links(): readonly Link[] {
    return this.#links;
  }

  /**
   * A link to send on. One with an overdue reply, or one to avoid, only where there is no other; undefined if none is
   * ready.
   */
  pick(avoid: ReadonlySet<Link>, nowMs: number): Link | undefined {
    if (!this.balanced) return this.#links[0]?.connection === undefined ? undefined : this.#links[0];
    const good = this.#balancer.pick(nowMs, (index) => isGood(this.#links[index] as Link, avoid));
    const index = good ?? this.#balancer.pick(nowMs, (each) => this.#links[each]?.connection !== undefined);
    return index === undefined ? undefined : this.#links[index];
  }

  /** Whether some link but those is in good health. */
  hasHealthy(avoid: ReadonlySet<Link>, nowMs: number): boolean {
    return this.#links.some((link) => isGood(link, avoid) && !this.#balancer.isEjected(link.index, nowMs));
  }

  /** Whether some link but those answers, be it with refusals. */
  hasAnswering(avoid: ReadonlySet<Link>): boolean {
    return this.#links.some((link) => isGood(link, avoid));
  }

  started(link: Link): void {
    if (this.balanced) this.#balancer.started(link.index);
  }

  /** The end of what was sent at `sentAtMs`: a reply, or the loss of the connection. `awaited`: somebody waited for it. */
  finished(link: Link, sentAtMs: number, result: AttemptResult, awaited: boolean): void {
    if (result === "succeeded") link.succeeded();
    if (!this.balanced) return;
    const nowMs = this.#clock.monotonicMs();
    const latencyMs = nowMs - sentAtMs;
    if (result !== "lost") link.suspect = false;
    if (result === "succeeded" && awaited) this.#latencies.record(latencyMs);
    this.#balancer.finished(link.index, result === "succeeded" ? "succeeded" : "failed", latencyMs, nowMs);
  }

  /** After so long without a reply the same is sent through another endpoint too. */
  get hedgeDelayMs(): number {
    const usualMs = this.#latencies.slowest(slowestPerMille);
    return Math.max(this.#options.hedgeMinMs, Math.min(hedgeMaxMs, hedgeFactor * usualMs));
  }

  /** Calls `done` once no socket is left. */
  close(done: () => void): void {
    let open = this.#links.length;
    for (const link of this.#links) {
      link.close(() => {
        open--;
        if (open === 0) done();
      });
    }
  }

  #add(endpoint: Endpoint): void {
    const name = endpointName(endpoint);
    const { weights, zones } = this.#options;
    const index = this.#balancer.add({ weight: weights[name] ?? 1, zone: zones[name] });
    const link = new Link(endpoint, index, this.#address, this.#options, {
      ready: () => {
        this.#balancer.setUp(index, true, this.#clock.monotonicMs());
        if (this.#options.discover === true) askForDoors(link, (doors) => this.#learn(doors));
        this.#events.ready();
      },
      lost: (_, cause) => {
        this.#balancer.setUp(index, false, this.#clock.monotonicMs());
        this.#events.lost(link, cause);
      },
    });
    this.#links.push(link);
    link.start();
  }

  #learn(doors: readonly Endpoint[]): void {
    for (const door of doors) {
      const known = this.#links.some((link) => endpointName(link.endpoint) === endpointName(door));
      if (!known && this.#links.length < endpointsMax) this.#add(door);
    }
  }
}

function isGood(link: Link, avoid: ReadonlySet<Link>): boolean {
  return link.connection !== undefined && !link.suspect && !avoid.has(link);
}
