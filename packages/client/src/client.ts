/** The client: what a user holds. Wires link and dispatcher. */
import { QuipuError } from "@quipu/core";
import { Counter } from "./counter.ts";
import { Dispatcher } from "./dispatcher.ts";
import { parseAddress, type Address } from "./endpoints.ts";
import { Link } from "./link.ts";
import { type ClientOptions, type ResolvedOptions, resolveOptions } from "./options.ts";

/**
 * Connects to `quipu://[:token@]host:port`. Resolves once the server has accepted the token and opened a
 * session; keeps trying for `connectTimeoutMs`.
 * @throws QuipuError UNAUTHENTICATED, INVALID_CONFIGURATION (at once), CONNECTION_LOST (after the timeout)
 */
export async function connect(url: string, options: ClientOptions = {}): Promise<Client> {
  const client = new Client(parseAddress(url), resolveOptions(options));
  try {
    await client.whenUsable();
    return client;
  } catch (error) {
    await client.close();
    throw error;
  }
}

export class Client {
  readonly #address: Address;
  readonly #options: ResolvedOptions;
  readonly #dispatcher: Dispatcher;
  readonly #link: Link;
  /** Ends the wait of connect(), where no further attempt can help. */
  #giveUp: (error: QuipuError) => void = () => undefined;
  #lastLoss: QuipuError | undefined = undefined;

  /** Made by {@link connect}. */
  constructor(address: Address, options: ResolvedOptions) {
    this.#address = address;
    this.#options = options;
    this.#dispatcher = new Dispatcher(options, () => this.#link.succeeded());
    this.#link = new Link(address, options, {
      ready: (connection) => this.#dispatcher.connected(connection),
      lost: (cause) => {
        this.#lastLoss = cause;
        this.#dispatcher.disconnected(cause);
        if (cause.code === "UNAUTHENTICATED") this.#giveUp(cause);
      },
    });
    this.#link.start();
  }

  /**
   * A counter by its key; no request is made, the counter need not exist.
   * @throws QuipuError KEY_TOO_LARGE, INVALID_ARGUMENT (a lone surrogate, which UTF-8 cannot tell from others)
   */
  counter(key: string): Counter {
    return new Counter(key, this.#dispatcher);
  }

  /**
   * Closes the connection. Operations without an answer fail with CONNECTION_LOST, outcome `unknown` if they
   * were sent, else `definite`; so await them first. Later calls fail likewise.
   */
  close(): Promise<void> {
    this.#dispatcher.close();
    return new Promise((resolve) => this.#link.close(resolve));
  }

  /** Used by {@link connect}. */
  whenUsable(): Promise<void> {
    return new Promise((resolve, reject) => {
      const { clock } = this.#options.ports;
      const cancel = clock.setTimer(this.#options.connectTimeoutMs, () => {
        const { host, port } = this.#address.endpoints[0] ?? {};
        const why = this.#lastLoss === undefined ? "" : `: ${this.#lastLoss.message}`;
        const text = `no usable server at ${host}:${port} within ${this.#options.connectTimeoutMs} ms${why}`;
        reject(new QuipuError("CONNECTION_LOST", text, { outcome: "definite", cause: this.#lastLoss }));
      });
      this.#giveUp = (error) => {
        cancel();
        reject(error);
      };
      this.#dispatcher.whenUsable().then(() => {
        cancel();
        resolve();
      }, this.#giveUp);
    });
  }
}
