/**
 * A session over one connection after another: it finds a server that answers, takes the session up again there, and
 * begins a new one when the old one has expired. It holds nothing that would end with it (no ephemeral nodes); what
 * taking it up gives is an order: what an earlier connection sent is done before, or never.
 */
import { Connection, type Endpoint, type Reply, type SessionState, Unanswered } from "./connection.ts";
import { closeSession, type Request } from "./protocol.ts";

export interface SessionOptions {
  /** Tried in turn, from a random one on. */
  readonly endpoints: readonly Endpoint[];
  /** `user:password`. */
  readonly credentials: string | undefined;
  /** Asked for; the server has the last word. */
  readonly sessionTimeoutMs: number;
  /** How long a request waits for a connection, and then again for its answer. */
  readonly patienceMs: number;
  readonly onEvent: (path: string) => void;
  /** A new connection stands: watches are to be set again. */
  readonly onConnected: () => void;
}

interface Waiting {
  readonly send: (connection: Connection) => void;
  readonly refuse: (cause: string) => void;
  readonly timer: NodeJS.Timeout;
}

/** For one server, handshake included: several are tried within the patience of a request. */
const connectTimeoutMs = 2_000;
/** After all servers were tried in vain; doubled each time, and spread so that clients do not come all at once. */
const firstPauseMs = 50;
const pauseMsMax = 1_000;
/** A server that does not take leave in this time has its session run out instead. */
const leaveTimeoutMs = 500;
const noSession = { id: 0n, password: new Uint8Array(16) };

export class Session {
  readonly #options: SessionOptions;
  readonly #waiting = new Set<Waiting>();
  #state: SessionState;
  #lastSeen = 0n;
  /** Undefined: between two connections. */
  #connection: Connection | undefined;
  #isConnected = false;
  #isClosed = false;
  #nextEndpoint: number;
  /** Connections in a row that came to nothing. */
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;
  #lastCause = "no server has answered yet";

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#state = { ...noSession, timeoutMs: options.sessionTimeoutMs };
    this.#nextEndpoint = Math.floor(Math.random() * options.endpoints.length);
    this.#connect();
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Rejects with {@link Unanswered}. Requests are sent in the order of the calls. */
  ask<T>(request: Request<T>): Promise<Reply<T>> {
    const connection = this.#connection;
    if (this.#isClosed) return Promise.reject(new Unanswered("closed", false));
    if (connection !== undefined && this.#isConnected) return connection.send(request);
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        send: (found) => void found.send(request).then(resolve, reject),
        refuse: (cause) => reject(new Unanswered(cause, false)),
        timer: setTimeout(() => {
          this.#waiting.delete(waiting);
          waiting.refuse(`no connection in ${this.#options.patienceMs} ms; ${this.#lastCause}`);
        }, this.#options.patienceMs),
      };
      this.#waiting.add(waiting);
    });
  }

  /** Ends the session. Idempotent; requests without an answer are lost. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#retry);
    for (const waiting of this.#takeWaiting()) waiting.refuse("closed");
    const connection = this.#connection;
    if (connection === undefined) return;
    if (this.#isConnected) {
      const timer = setTimeout(() => connection.end("closed"), leaveTimeoutMs);
      await connection.send(closeSession()).catch(() => undefined);
      clearTimeout(timer);
    }
    connection.end("closed");
  }

  #connect(): void {
    const { endpoints, credentials, patienceMs, onEvent } = this.#options;
    const endpoint = endpoints[this.#nextEndpoint % endpoints.length] as Endpoint;
    this.#nextEndpoint++;
    this.#connection = new Connection({
      endpoint,
      session: this.#state,
      lastSeen: this.#lastSeen,
      credentials,
      connectTimeoutMs,
      answerTimeoutMs: patienceMs,
      onOpen: (state) => this.#opened(state),
      onSeen: (transaction) => {
        if (transaction > this.#lastSeen) this.#lastSeen = transaction;
        this.#failures = 0; // Not at the handshake already: a server may end every connection right after it.
      },
      onEvent,
      onEnd: (cause, sessionGone) => this.#endedWith(cause, sessionGone),
    });
  }

  #opened(state: SessionState): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    // The server's password and number; what we ask for stays what it was.
    this.#state = { ...state, timeoutMs: this.#options.sessionTimeoutMs };
    this.#isConnected = true;
    this.#options.onConnected();
    for (const waiting of this.#takeWaiting()) waiting.send(connection);
  }

  #endedWith(cause: string, sessionGone: boolean): void {
    this.#connection = undefined;
    this.#isConnected = false;
    this.#lastCause = cause;
    if (sessionGone) this.#state = { ...noSession, timeoutMs: this.#options.sessionTimeoutMs };
    if (this.#isClosed) return;
    const rounds = Math.floor(this.#failures / this.#options.endpoints.length);
    if (!sessionGone) this.#failures++;
    // A server that says that the session has expired is there, and gives a new one.
    const pauseMs =
      rounds === 0 || sessionGone ? 0 : Math.min(pauseMsMax, firstPauseMs * 2 ** Math.min(rounds - 1, 10));
    this.#retry = setTimeout(() => this.#connect(), pauseMs * (0.5 + Math.random() / 2));
  }

  #takeWaiting(): readonly Waiting[] {
    const taken = [...this.#waiting];
    this.#waiting.clear();
    for (const { timer } of taken) clearTimeout(timer);
    return taken;
  }
}
