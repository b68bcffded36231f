/**
 * Which link a session's batches go on. One at a time, so that they arrive in order; another one when nothing is under
 * way, when the present one refuses or is overdue, and once in a while anyhow.
 */
import type { Link } from "./link.ts";
import type { Pool } from "./pool.ts";

/**
 * A busy session stays on a link for so long; then it lets what is under way come in (one round trip) and chooses
 * anew, so that load spreads, and a node that came back gets its part.
 */
export const stayMs = 1000;

export class Route {
  readonly #pool: Pool;
  #link: Link | undefined = undefined;
  #chosenAtMs = 0;
  /** Links that refused for the moment since the last success. */
  readonly #avoid = new Set<Link>();

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** What is under way on the link will not be answered there. */
  get isCut(): boolean {
    return this.#link !== undefined && this.#link.connection === undefined;
  }

  /** The link to send on now. Undefined: there is none, or what is under way must come in first. */
  choose(underWay: boolean, nowMs: number): Link | undefined {
    const link = this.#link;
    if (underWay && link?.connection !== undefined) {
      if (!this.#pool.balanced || link.suspect || nowMs - this.#chosenAtMs < stayMs) return link;
      if (this.#pool.hasHealthy(new Set([...this.#avoid, link]), nowMs)) return undefined;
    }
    this.#link = this.#pool.pick(this.#avoid, nowMs);
    this.#chosenAtMs = nowMs;
    return this.#link;
  }

  succeeded(): void {
    if (this.#avoid.size > 0) this.#avoid.clear();
  }

  /** The link refuses for the moment. True: another one is worth trying at once. */
  refused(link: Link, nowMs: number): boolean {
    if (!this.#pool.balanced) return false;
    this.#avoid.add(link);
    if (this.#pool.hasHealthy(this.#avoid, nowMs)) return true;
    this.#avoid.clear();
    return false;
  }

  /** A reply is overdue on the present link. True: another one should be used beside it. */
  overdue(repetitions: number, nowMs: number): boolean {
    if (this.#link !== undefined) this.#link.suspect = true;
    return this.#pool.hasAnswering(this.#avoid) && this.#pool.budget.affords(repetitions, nowMs);
  }
}
