/** One line for each refusal and reason, not one for each attempt: whoever is refused tries again and again. */
import type { Clock } from "@quipu/core";
import type { Log } from "../log.ts";
import { refusalLogMs, refusalsRememberedMax } from "./limits.ts";

export interface Refusal {
  /** Host of the other side, and its port where we dialled. */
  readonly address: string;
  /** Undefined: it did not get so far as to say one. */
  readonly name: string | undefined;
  readonly reason: string;
}

export class RefusalLog {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #remembered = new Map<string, { readonly atMs: number; repeats: number }>();

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  warn(what: string, { address, name, reason }: Refusal): void {
    const key = `${what} ${address} ${name ?? ""} ${reason}`;
    const nowMs = this.#clock.monotonicMs();
    const known = this.#remembered.get(key);
    if (known !== undefined && nowMs - known.atMs < refusalLogMs) {
      known.repeats++;
      return;
    }
    if (this.#remembered.size >= refusalsRememberedMax) this.#remembered.clear();
    this.#remembered.set(key, { atMs: nowMs, repeats: 0 });
    const repeats = known === undefined || known.repeats === 0 ? {} : { repeats: known.repeats };
    this.#log.warn({ address, ...(name === undefined ? {} : { peer: name }), reason, ...repeats }, what);
  }
}
