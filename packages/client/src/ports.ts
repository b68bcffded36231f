/** Everything impure that the client reaches the world through, so that tests can be exact. */
import type { Clock, Random } from "@quipu/core";
import type { Endpoint } from "./endpoints.ts";

/** What a socket tells. `closed` comes exactly once, last, also when the connection was never made. */
export interface SocketEvents {
  opened(): void;
  /** The bytes are the socket's again once the call returns. */
  received(bytes: Uint8Array): void;
  closed(cause: Error | undefined): void;
}

export interface ClientSocket {
  /** Queues bytes; the client bounds how much is outstanding. Ignored once closed. */
  write(bytes: Uint8Array): void;
  /** Closes at once; what is queued may be lost. `closed` follows. */
  destroy(): void;
}

export type ConnectSocket = (endpoint: Endpoint, events: SocketEvents) => ClientSocket;

export interface ClientPorts {
  readonly connectSocket: ConnectSocket;
  readonly clock: Clock;
  /** For jitter only. */
  readonly random: Random;
}
