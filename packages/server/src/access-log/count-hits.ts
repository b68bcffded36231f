/** Counts hits through the SDK: one add of 1 for each field of each hit, many under way at a time. */
import type { Client } from "@quipu/client";
import { type Hit, type HitField } from "./parser.ts";
import { counterKey } from "./tally.ts";

export interface CountHitsOptions {
  readonly client: Pick<Client, "counter">;
  readonly hits: Iterable<Hit> | AsyncIterable<Hit>;
  readonly fields: readonly HitField[];
  readonly prefix: string;
  /** Adds without an answer at any time. */
  readonly addsOpenMax?: number;
  /** Told how many hits are acknowledged, in every field. */
  readonly onProgress?: (hits: number) => void;
}

/** Enough to fill the SDK's batches, and far below its own limit of 65,536. */
const addsOpenMaxDefault = 16_384;

/** Resolves to the number of hits once every add is acknowledged; rejects with the first refusal. */
export async function countHits(options: CountHitsOptions): Promise<number> {
  const window = new Window(options.addsOpenMax ?? addsOpenMaxDefault);
  const fieldCount = options.fields.length;
  let hits = 0;
  let acknowledgedAdds = 0;
  const acknowledged = (): void => {
    acknowledgedAdds += 1;
    window.leave();
    if (acknowledgedAdds % fieldCount === 0) options.onProgress?.(acknowledgedAdds / fieldCount);
  };
  const refused = (error: unknown): void => window.fail(error);
  for await (const hit of options.hits) {
    hits += 1;
    for (const field of options.fields) {
      if (!window.hasRoom) await window.room();
      window.enter();
      options.client
        .counter(counterKey(options.prefix, field, hit[field]))
        .add(1)
        .then(acknowledged, refused);
    }
  }
  await window.empty();
  return hits;
}

/** Bounds what is under way; the first failure is thrown to whoever waits. */
class Window {
  readonly #limit: number;
  #open = 0;
  #failure: { readonly error: unknown } | undefined;
  #wakeBelow = 0;
  #wake: (() => void) | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get hasRoom(): boolean {
    return this.#open < this.#limit && this.#failure === undefined;
  }

  enter(): void {
    this.#open += 1;
  }

  leave(): void {
    this.#open -= 1;
    if (this.#open <= this.#wakeBelow) this.#wakeUp();
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wakeUp();
  }

  /** Waits until half of the window is free, so that the next adds travel in large batches again. */
  room(): Promise<void> {
    return this.#wait(this.#limit >>> 1);
  }

  empty(): Promise<void> {
    return this.#wait(0);
  }

  async #wait(below: number): Promise<void> {
    if (this.#open > below && this.#failure === undefined) {
      this.#wakeBelow = below;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
