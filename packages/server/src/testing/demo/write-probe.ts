/** One write after another to a counter of its own, so that a pause shows whatever else is being counted. */
import type { Client } from "@quipu/client";
import { delay } from "../delay.ts";
import { WriteGaps } from "./write-gaps.ts";

const probeKey = "demo:probe";
/** Far below the shortest pause worth telling. */
const intervalMs = 10;

export class WriteProbe {
  readonly gaps: WriteGaps = new WriteGaps(() => performance.now());
  readonly #client: Client;
  readonly #running: Promise<void>;
  #isStopped = false;

  constructor(client: Client) {
    this.#client = client;
    this.#running = this.#run();
    // Told by stop(), if anybody is left to be told.
    this.#running.catch(() => undefined);
  }

  /** Leaves no counter behind. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
    await this.#client.counter(probeKey).delete();
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      await this.#client.counter(probeKey).add(1);
      this.gaps.succeeded();
      await delay(intervalMs);
    }
  }
}
