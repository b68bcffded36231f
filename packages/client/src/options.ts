/** What a user may set, what holds otherwise, and the client's limits (promise P9). */
import { QuipuError } from "@quipu/core";
import { type PolicyName, policyNames } from "@quipu/routing";
import { nodePorts } from "./node-ports.ts";
import type { ClientPorts } from "./ports.ts";

/** Sixteen batches hide the server's fsync even where it takes ten times a round trip. */
export const batchesInFlightMax = 16;

/** About what a server applies in a millisecond; larger batches only add latency. */
export const operationsPerBatchMax = 1024;

/** Sealed at this size, so that one batch stays far below the server's limits for commands and records. */
export const batchBodyBytesMax: number = 256 * 1024;

/** The longest key a server stores; refused here, because a longer one would spoil its whole batch. */
export const keyBytesMax = 65_535;

/** Memory for operations without an answer, and what each takes beside its key (words, promise, batch). */
export const bytesOpenMax: number = 64 * 1024 * 1024;
export const operationOverheadBytes = 256;

/** More would only make the batches smaller. */
export const sessionsMax = 64;

export interface ClientOptions {
  /** With several endpoints: how one is chosen. Default `power-of-two-choices`. */
  readonly balancer?: PolicyName;
  /**
   * Over how many sessions the keys are spread, by hash slot. Each goes its own way to the cell, so more than one lets a
   * busy process use several endpoints at a time; order then holds per key (per hash tag). Default 1: order over all.
   */
  readonly sessions?: number;
  /** By `host:port`, integers > 0, for `weighted`. Default 1 each. */
  readonly weights?: Readonly<Record<string, number>>;
  /** Where this client is, and by `host:port` where the endpoints are, for `locality`. */
  readonly zone?: string;
  readonly zones?: Readonly<Record<string, string>>;
  /**
   * With several endpoints: at least so long is waited for a reply (in general four times what is usual), then the same
   * is sent through another endpoint too, under the same number. Default 250.
   */
  readonly hedgeMinMs?: number;
  /** Whether the cell is asked for its other endpoints. Default: if several are given; a single one may be a tunnel. */
  readonly discover?: boolean;
  /**
   * After so long an operation fails: with outcome `unknown` if it may have been applied, else `definite`.
   * Until then it is repeated through every loss of connection. 0: never. Default 30,000.
   */
  readonly requestTimeoutMs?: number;
  /** How long connect() keeps trying. Default 10,000. */
  readonly connectTimeoutMs?: number;
  /** A connection that owes a reply and has been silent for so long is given up for another. Default 10,000. */
  readonly silenceTimeoutMs?: number;
  /** For how long the server keeps what it needs to recognise a repetition. Default 600,000. */
  readonly sessionTtlMs?: number;
  /** First and longest pause before another attempt; doubles in between, with jitter. Default 10 and 1,000. */
  readonly backoffFirstMs?: number;
  readonly backoffMaxMs?: number;
  /** Operations without an answer; one more is refused with OVERLOADED. Default 65,536. */
  readonly operationsOpenMax?: number;
  /** Sockets, clock, randomness; for tests and simulations. */
  readonly ports?: Partial<ClientPorts>;
}

export interface ResolvedOptions extends Required<Omit<ClientOptions, "ports" | "zone" | "discover">> {
  readonly zone: string | undefined;
  readonly discover: boolean;
  readonly ports: ClientPorts;
}

/** `endpoints`: how many the address names. */
export function resolveOptions(options: ClientOptions, endpoints: number): ResolvedOptions {
  const resolved: ResolvedOptions = {
    balancer: options.balancer ?? "power-of-two-choices",
    sessions: options.sessions ?? 1,
    weights: options.weights ?? {},
    zone: options.zone,
    zones: options.zones ?? {},
    hedgeMinMs: options.hedgeMinMs ?? 250,
    discover: options.discover ?? endpoints > 1,
    requestTimeoutMs: options.requestTimeoutMs ?? 30_000,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    silenceTimeoutMs: options.silenceTimeoutMs ?? 10_000,
    sessionTtlMs: options.sessionTtlMs ?? 600_000,
    backoffFirstMs: options.backoffFirstMs ?? 10,
    backoffMaxMs: options.backoffMaxMs ?? 1000,
    operationsOpenMax: options.operationsOpenMax ?? 65_536,
    ports: { ...nodePorts(), ...options.ports },
  };
  for (const [name, value] of Object.entries(resolved)) {
    if (typeof value === "number" && !(Number.isSafeInteger(value) && value >= 0)) {
      throw new QuipuError("INVALID_CONFIGURATION", `${name} must be an integer >= 0: ${value}`);
    }
  }
  if (resolved.sessions < 1 || resolved.sessions > sessionsMax) {
    throw new QuipuError("INVALID_CONFIGURATION", `sessions must be 1 to ${sessionsMax}: ${resolved.sessions}`);
  }
  if (!policyNames.includes(resolved.balancer)) {
    throw new QuipuError("INVALID_CONFIGURATION", `no balancer ${resolved.balancer}; one of ${policyNames.join(", ")}`);
  }
  for (const [endpoint, weight] of Object.entries(resolved.weights)) {
    if (!Number.isSafeInteger(weight) || weight < 1) {
      throw new QuipuError("INVALID_CONFIGURATION", `the weight of ${endpoint} must be an integer > 0: ${weight}`);
    }
  }
  return resolved;
}
