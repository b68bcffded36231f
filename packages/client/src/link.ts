/** Keeps one connection alive: connects, and after a loss connects again with backoff, until closed. */
import { QuipuError } from "@quipu/core";
import { Backoff } from "./backoff.ts";
import { Connection } from "./connection.ts";
import { type Address, Endpoints } from "./endpoints.ts";
import type { ResolvedOptions } from "./options.ts";

export interface LinkEvents {
  ready(connection: Connection): void;
  /** The connection that was ready is gone, or an attempt failed. Another attempt follows. */
  lost(cause: QuipuError): void;
}

export class Link {
  readonly #address: Address;
  readonly #options: ResolvedOptions;
  readonly #events: LinkEvents;
  readonly #endpoints: Endpoints;
  readonly #backoff: Backoff;
  #connection: Connection | undefined = undefined;
  #cancelTimer: () => void = () => undefined;
  #closed = false;
  readonly #whenClosed: (() => void)[] = [];

  constructor(address: Address, options: ResolvedOptions, events: LinkEvents) {
    this.#address = address;
    this.#options = options;
    this.#events = events;
    this.#endpoints = new Endpoints(address.endpoints);
    this.#backoff = new Backoff(options.backoffFirstMs, options.backoffMaxMs, options.ports.random);
  }

  start(): void {
    const connection = new Connection(this.#endpoints.next(), this.#address, this.#options.ports, this.#options, {
      ready: () => this.#events.ready(connection),
      lost: (cause) => {
        this.#connection = undefined;
        if (this.#closed) return this.#finish();
        this.#events.lost(cause);
        if (this.#closed) return this.#finish();
        this.#cancelTimer = this.#options.ports.clock.setTimer(this.#backoff.nextMs(), () => this.start());
      },
    });
    this.#connection = connection;
  }

  /** The server does useful work: the next loss is a new one. A server that only greets stays backed off. */
  succeeded(): void {
    this.#backoff.reset();
  }

  /** Calls `done` once no socket is left. */
  close(done: () => void): void {
    this.#whenClosed.push(done);
    this.#closed = true;
    this.#cancelTimer();
    if (this.#connection === undefined) this.#finish();
    else this.#connection.destroy(new QuipuError("CONNECTION_LOST", "the client was closed"));
  }

  #finish(): void {
    for (const done of this.#whenClosed.splice(0)) done();
  }
}
