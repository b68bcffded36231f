/**
 * Chooses an endpoint for each request (DESIGN §4.9): for the SDK, and for whoever else has several servers to ask.
 * Pure: time is an argument, chance is injected. Health comes from use alone.
 */
import { invariant, type Random } from "@quipu/core";
import { EndpointLoad } from "./endpoint-load.ts";
import { isEjected, OutlierEjection } from "./outlier-ejection.ts";
import { type Choose, policy, type PolicyName } from "./policies.ts";

/** Over so long an endpoint that returns comes to its full load: its caches, and its JIT, are cold. */
export const slowStartMs = 5000;

/** It begins with this share, in percent: enough to be measured. */
export const slowStartPercentMin = 10;

const percent = 100;

export interface EndpointTraits {
  /** For `weighted`; an integer > 0, 1 unless told. */
  readonly weight?: number;
  /** For `locality`. */
  readonly zone?: string | undefined;
}

/** Endpoints are named by index, in the order in which they were added. All times in ms, on one clock, not going back. */
export interface Balancer {
  /** @returns its index */
  add(traits?: EndpointTraits): number;
  /** Whether it can be asked at all. One that comes up again starts slowly. */
  setUp(index: number, up: boolean, nowMs: number): void;
  /**
   * The endpoint for a request. Never one that is down or not `usable`, and an ejected one only where all are.
   * Undefined: there is none.
   */
  pick(nowMs: number, usable?: (index: number) => boolean): number | undefined;
  /** A request goes out. */
  started(index: number): void;
  /** Its end, exactly once for each start. Failed: no answer, or one that another endpoint might not have given. */
  finished(index: number, result: "succeeded" | "failed", latencyMs: number, nowMs: number): void;
  isEjected(index: number, nowMs: number): boolean;
}

export interface BalancerOptions {
  readonly policy: PolicyName;
  readonly random: Random;
  /** Where the asker is, for `locality`. */
  readonly zone?: string | undefined;
}

export function createBalancer(options: BalancerOptions): Balancer {
  return new PolicyBalancer(options);
}

class PolicyBalancer implements Balancer {
  readonly #endpoints: EndpointLoad[] = [];
  readonly #ejection = new OutlierEjection(this.#endpoints);
  readonly #random: Random;
  readonly #choose: Choose;

  constructor(options: BalancerOptions) {
    this.#random = options.random;
    this.#choose = policy(options.policy, options.random, options.zone);
  }

  add(traits: EndpointTraits = {}): number {
    const { weight = 1, zone } = traits;
    invariant(Number.isSafeInteger(weight) && weight > 0, `a weight must be an integer > 0: ${weight}`);
    const index = this.#endpoints.length;
    this.#endpoints.push(new EndpointLoad(index, weight, zone));
    return index;
  }

  setUp(index: number, up: boolean, nowMs: number): void {
    const endpoint = this.#at(index);
    if (up && !endpoint.up) endpoint.warmFromMs = Math.max(endpoint.warmFromMs, nowMs);
    endpoint.up = up;
  }

  pick(nowMs: number, usable: (index: number) => boolean = () => true): number | undefined {
    const able = this.#endpoints.filter((endpoint) => endpoint.up && usable(endpoint.index));
    if (able.length <= 1) return able[0]?.index;
    const healthy = able.filter((endpoint) => !isEjected(endpoint, nowMs));
    const candidates = healthy.length > 0 ? healthy : able;
    const chosen = this.#choose(candidates, nowMs);
    if (candidates.length === 1 || this.#mayTake(chosen, nowMs)) return chosen.index;
    // Slow start, the same way for every policy: a part of its turns goes to the others.
    const others = candidates.filter((endpoint) => endpoint !== chosen);
    return this.#choose(others, nowMs).index;
  }

  started(index: number): void {
    this.#at(index).outstanding++;
  }

  finished(index: number, result: "succeeded" | "failed", latencyMs: number, nowMs: number): void {
    const endpoint = this.#at(index);
    invariant(endpoint.outstanding > 0, `endpoint ${index} finished a request that was never started`);
    endpoint.outstanding--;
    if (result === "succeeded") endpoint.observe(latencyMs, nowMs);
    else endpoint.observeFailure(latencyMs, nowMs);
    this.#ejection.observe(endpoint, result === "succeeded", nowMs);
  }

  isEjected(index: number, nowMs: number): boolean {
    return isEjected(this.#at(index), nowMs);
  }

  #mayTake(endpoint: EndpointLoad, nowMs: number): boolean {
    const warmMs = nowMs - endpoint.warmFromMs;
    if (warmMs >= slowStartMs) return true;
    const share = Math.max(slowStartPercentMin, Math.floor((percent * warmMs) / slowStartMs));
    return this.#random.chance(share, percent);
  }

  #at(index: number): EndpointLoad {
    const endpoint = this.#endpoints[index];
    invariant(endpoint !== undefined, `no endpoint ${index} of ${this.#endpoints.length}`);
    return endpoint;
  }
}
