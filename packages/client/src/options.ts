/** What a user may set, what holds otherwise, and the client's limits (promise P9). */
import { QuipuError } from "@quipu/core";
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

export interface ClientOptions {
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

export interface ResolvedOptions extends Required<Omit<ClientOptions, "ports">> {
  readonly ports: ClientPorts;
}

export function resolveOptions(options: ClientOptions): ResolvedOptions {
  const resolved: ResolvedOptions = {
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
    if (typeof value !== "object" && !(Number.isSafeInteger(value) && value >= 0)) {
      throw new QuipuError("INVALID_CONFIGURATION", `${name} must be an integer >= 0: ${value}`);
    }
  }
  return resolved;
}
