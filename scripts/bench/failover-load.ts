/** Callers that count through one SDK client all the while, and the times at which something was acknowledged. */
import { type Client, connect } from "@quipu/client";
import { quipuAddress } from "./peers/quipu-cell.ts";

/** Enough to keep batches on their way always; few enough to leave the machine to the nodes. */
const callers = 16;
/** A failover that takes longer has failed. */
const requestTimeoutMs = 60_000;

export class FailoverLoad {
  readonly #client: Client;
  readonly #key: string;
  #acknowledged = 0n;
  #isStopping = false;
  #callers: Promise<unknown> = Promise.resolve();
  /** When something was acknowledged last, and the longest time without, since the last mark. */
  #lastMs = performance.now();
  #longestGapMs = 0;

  static async start(ports: readonly number[], key: string): Promise<FailoverLoad> {
    const load = new FailoverLoad(await connect(quipuAddress(ports), { requestTimeoutMs }), key);
    load.#callers = Promise.all(Array.from({ length: callers }, () => load.#count()));
    // A caller that fails is reported by stop(); until then the others go on.
    load.#callers.catch(() => {});
    return load;
  }

  private constructor(client: Client, key: string) {
    this.#client = client;
    this.#key = key;
  }

  /** Begins a new measurement. The gap that it happens in counts from its last acknowledgement. */
  mark(): void {
    this.#longestGapMs = 0;
  }

  /** The longest time without a successful write since mark(), an unfinished one included. */
  get longestGapMs(): number {
    return Math.max(this.#longestGapMs, performance.now() - this.#lastMs);
  }

  /** Ends the callers and reads back; throws if the counter does not hold exactly what was acknowledged. */
  async stop(): Promise<bigint> {
    this.#isStopping = true;
    try {
      await this.#callers;
      const found = await this.#client.counter(this.#key).get();
      if (found !== this.#acknowledged) {
        throw new Error(`${this.#key} holds ${found}; ${this.#acknowledged} increments were acknowledged`);
      }
      return found;
    } finally {
      await this.#client.close();
    }
  }

  async #count(): Promise<void> {
    while (!this.#isStopping) {
      await this.#client.counter(this.#key).add(1);
      const nowMs = performance.now();
      this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastMs);
      this.#lastMs = nowMs;
      this.#acknowledged += 1n;
    }
  }
}
