/** The client: what a user holds. Wires pool and dispatchers. */
import { QuipuError } from "@quipu/core";
import { encodeUtf8 } from "@quipu/protocol";
import { keySlot } from "@quipu/routing";
import { Counter } from "./counter.ts";
import { Dispatcher } from "./dispatcher.ts";
import { type Address, endpointName, parseAddress } from "./endpoints.ts";
import { OpenOperations } from "./open-operations.ts";
import { type ClientOptions, type ResolvedOptions, resolveOptions } from "./options.ts";
import { Pool } from "./pool.ts";

/**
 * Connects to `quipu://[:token@]host:port[,host:port…]`, or to several such addresses of one cell. Resolves once some
 * server has accepted the token and opened a session; keeps trying for `connectTimeoutMs`.
 * @throws QuipuError UNAUTHENTICATED (every endpoint says so), INVALID_CONFIGURATION: at once;
 * CONNECTION_LOST after the timeout
 */
export async function connect(address: string | readonly string[], options: ClientOptions = {}): Promise<Client> {
  const parsed = parseAddress(address);
  const client = new Client(parsed, resolveOptions(options, parsed.endpoints.length));
  try {
    await client.whenUsable();
    return client;
  } catch (error) {
    await client.close();
    throw error;
  }
}

export class Client {
  readonly #options: ResolvedOptions;
  readonly #pool: Pool;
  /** One for each session. */
  readonly #dispatchers: readonly Dispatcher[];
  /** Ends the wait of connect(), where no further attempt can help. */
  #giveUp: (error: QuipuError) => void = () => undefined;
  #lastLoss: QuipuError | undefined = undefined;

  /** Made by {@link connect}. */
  constructor(address: Address, options: ResolvedOptions) {
    this.#options = options;
    this.#pool = new Pool(address, options, {
      ready: () => {
        for (const dispatcher of this.#dispatchers) dispatcher.linkReady();
      },
      lost: (_, cause) => {
        this.#lastLoss = cause;
        for (const dispatcher of this.#dispatchers) dispatcher.linkLost(cause);
        if (this.#pool.links.every((link) => link.lastLoss?.code === "UNAUTHENTICATED")) this.#giveUp(cause);
      },
    });
    const open = new OpenOperations(options.operationsOpenMax);
    this.#dispatchers = Array.from({ length: options.sessions }, () => new Dispatcher(options, this.#pool, open));
    this.#pool.start();
  }

  /**
   * A counter by its key; no request is made, the counter need not exist.
   * @throws QuipuError KEY_TOO_LARGE, INVALID_ARGUMENT (a lone surrogate, which UTF-8 cannot tell from others)
   */
  counter(key: string): Counter {
    return new Counter(key, this.#dispatcherOf(key));
  }

  /**
   * Closes the connection. Operations without an answer fail with CONNECTION_LOST, outcome `unknown` if they
   * were sent, else `definite`; so await them first. Later calls fail likewise.
   */
  close(): Promise<void> {
    for (const dispatcher of this.#dispatchers) dispatcher.close();
    return new Promise((resolve) => this.#pool.close(resolve));
  }

  /** Used by {@link connect}. */
  whenUsable(): Promise<void> {
    return new Promise((resolve, reject) => {
      const { clock } = this.#options.ports;
      const cancel = clock.setTimer(this.#options.connectTimeoutMs, () => {
        const names = this.#pool.links.map((link) => endpointName(link.endpoint)).join(", ");
        const why = this.#lastLoss === undefined ? "" : `: ${this.#lastLoss.message}`;
        const text = `no usable server at ${names} within ${this.#options.connectTimeoutMs} ms${why}`;
        reject(new QuipuError("CONNECTION_LOST", text, { outcome: "definite", cause: this.#lastLoss }));
      });
      this.#giveUp = (error) => {
        cancel();
        reject(error);
      };
      Promise.all(this.#dispatchers.map((dispatcher) => dispatcher.whenUsable())).then(() => {
        cancel();
        resolve();
      }, this.#giveUp);
    });
  }

  /** By slot, so that keys of one hash tag keep their order among each other. */
  #dispatcherOf(key: string): Dispatcher {
    const count = this.#dispatchers.length;
    const index = count === 1 ? 0 : keySlot(encodeUtf8(key)) % count;
    return this.#dispatchers[index] as Dispatcher;
  }
}
