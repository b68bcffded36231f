/** The balancing policies: each chooses one of several endpoints that are all fit to be chosen. */
import { type Random, unreachable } from "@quipu/core";
import type { EndpointLoad } from "./endpoint-load.ts";

export type PolicyName =
  | "random"
  | "round-robin"
  | "weighted"
  | "least-outstanding"
  | "power-of-two-choices"
  | "latency-aware"
  | "locality";

export const policyNames: readonly PolicyName[] = [
  "random",
  "round-robin",
  "weighted",
  "least-outstanding",
  "power-of-two-choices",
  "latency-aware",
  "locality",
];

/** `candidates`: at least one, ascending by index. */
export type Choose = (candidates: readonly EndpointLoad[], nowMs: number) => EndpointLoad;

/** `zone`: where the chooser itself is, for `locality`. */
export function policy(name: PolicyName, random: Random, zone: string | undefined): Choose {
  switch (name) {
    case "random":
      return (candidates) => drawn(candidates, random);
    case "round-robin":
      return roundRobin();
    case "weighted":
      return smoothWeighted();
    case "least-outstanding":
      return (candidates) => leastOutstanding(candidates, random);
    case "power-of-two-choices":
      return twoChoices(random, outstanding);
    case "latency-aware":
      return twoChoices(random, (endpoint, nowMs) => endpoint.cost(nowMs));
    case "locality":
      return nearest(zone, twoChoices(random, outstanding));
    default:
      return unreachable(name);
  }
}

const outstanding = (endpoint: EndpointLoad): number => endpoint.outstanding;

function drawn(candidates: readonly EndpointLoad[], random: Random): EndpointLoad {
  return candidates[random.below(candidates.length)] as EndpointLoad;
}

function roundRobin(): Choose {
  let last = -1;
  return (candidates) => {
    // By index, not by place among the candidates: who is left out for a while does not shift the others' turns.
    const chosen = candidates.find((endpoint) => endpoint.index > last) ?? (candidates[0] as EndpointLoad);
    last = chosen.index;
    return chosen;
  };
}

/** nginx' smooth weighted round robin: in proportion to the weights, and never one endpoint many times in a row. */
function smoothWeighted(): Choose {
  const credits = new Map<EndpointLoad, number>();
  return (candidates) => {
    let total = 0;
    let best: EndpointLoad | undefined;
    for (const endpoint of candidates) {
      total += endpoint.weight;
      credits.set(endpoint, (credits.get(endpoint) ?? 0) + endpoint.weight);
      if (best === undefined || (credits.get(endpoint) ?? 0) > (credits.get(best) ?? 0)) best = endpoint;
    }
    const chosen = best as EndpointLoad;
    credits.set(chosen, (credits.get(chosen) ?? 0) - total);
    return chosen;
  };
}

function leastOutstanding(candidates: readonly EndpointLoad[], random: Random): EndpointLoad {
  const least = Math.min(...candidates.map(outstanding));
  // Ties by chance, else many idle clients would all begin with the first endpoint.
  return drawn(
    candidates.filter((endpoint) => endpoint.outstanding === least),
    random,
  );
}

/** The better of two drawn (Mitzenmacher 2001): nearly as even as the best of all, and no herd runs to one endpoint. */
function twoChoices(random: Random, load: (endpoint: EndpointLoad, nowMs: number) => number): Choose {
  return (candidates, nowMs) => {
    const first = drawn(candidates, random);
    if (candidates.length === 1) return first;
    const others = candidates.filter((endpoint) => endpoint !== first);
    const second = drawn(others, random);
    return load(second, nowMs) < load(first, nowMs) ? second : first;
  };
}

/** Those of the own zone as long as there are any. */
function nearest(zone: string | undefined, among: Choose): Choose {
  return (candidates, nowMs) => {
    const near = candidates.filter((endpoint) => endpoint.zone === zone);
    return among(near.length > 0 ? near : candidates, nowMs);
  };
}
