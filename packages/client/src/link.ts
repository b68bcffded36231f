/** Keeps a connection to one endpoint alive: connects, and after a loss connects again with backoff, until closed. */
import { QuipuError } from "@quipu/core";
import { Backoff } from "./backoff.ts";
import { Connection } from "./connection.ts";
import type { Address, Endpoint } from "./endpoints.ts";
import type { ResolvedOptions } from "./options.ts";

export interface LinkEvents {
  ready(link: Link): void;
  /** The connection that was ready is gone, or an attempt failed. Another attempt follows. */
  lost(link: Link, cause: QuipuError): void;
}

export class Link {
  readonly endpoint: Endpoint;
  /** Its name at the balancer. */
  readonly index: number;
  /** A reply is overdue on the present connection; others are used until something comes. */
  suspect = false;
  /** Why there is no connection. */
  lastLoss: QuipuError | undefined = undefined;
  readonly #address: Address;
  readonly #options: ResolvedOptions;
  readonly #events: LinkEvents;
  readonly #backoff: Backoff;
  /** Greeting or greeted. */
  #connection: Connection | undefined = undefined;
  /** The same once it is ready, until it is lost or given up. */
  #ready: Connection | undefined = undefined;
  #cancelTimer: () => void = () => undefined;
  #closed = false;
  readonly #whenClosed: (() => void)[] = [];

  constructor(endpoint: Endpoint, index: number, address: Address, options: ResolvedOptions, events: LinkEvents) {
    this.endpoint = endpoint;
    this.index = index;
    this.#address = address;
    this.#options = options;
    this.#events = events;
    this.#backoff = new Backoff(options.backoffFirstMs, options.backoffMaxMs, options.ports.random);
  }

  /** What can be sent on. */
  get connection(): Connection | undefined {
    return this.#ready;
  }

  start(): void {
    const connection = new Connection(this.endpoint, this.#address, this.#options.ports, this.#options, {
      ready: () => {
        this.#ready = connection;
        this.suspect = false;
        this.lastLoss = undefined;
        this.#events.ready(this);
      },
      lost: (cause) => {
        this.#connection = undefined;
        this.#ready = undefined;
        this.lastLoss = cause;
        if (this.#closed) return this.#finish();
        this.#events.lost(this, cause);
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

  /** Nothing sensible comes on the connection; the loss follows. */
  giveUp(reason: string): void {
    this.#ready = undefined;
    this.#connection?.destroy(new QuipuError("CONNECTION_LOST", reason));
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
