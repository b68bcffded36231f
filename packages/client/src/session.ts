/**
 * A session at the server (RIFL, Lee et al., SOSP 2015): under its id, a batch number is applied once.
 * The id bears its own expiry, so the server refuses it for ever afterwards instead of forgetting it.
 */

/** New batches go under another session from half of its life on; the rest is for repeating old ones. */
const renewalShare = 0.5;

export class Session {
  readonly id: string;
  /** On the monotonic clock: from here on a successor is wanted. */
  readonly renewAtMs: number;
  /** On the monotonic clock: from here on the server may refuse the id. */
  readonly expiresAtMs: number;
  #lastNumber = 0;
  /** Numbers given out whose reply has not been seen; insertion order is ascending. */
  readonly #open = new Set<number>();

  /** `requestedAtMs`: when it was asked for, before the server began to count its life. */
  constructor(id: string, requestedAtMs: number, lifetimeMs: number) {
    this.id = id;
    this.renewAtMs = requestedAtMs + lifetimeMs * renewalShare;
    this.expiresAtMs = requestedAtMs + lifetimeMs;
  }

  /** The next number: 1, 2, 3, … */
  open(): number {
    this.#lastNumber++;
    this.#open.add(this.#lastNumber);
    return this.#lastNumber;
  }

  /** Its reply has been seen, or will never be asked for again. */
  close(number: number): void {
    this.#open.delete(number);
  }

  /** The lowest number still open: the server may drop the replies below it. */
  get lowestOpen(): number {
    for (const number of this.#open) return number;
    return this.#lastNumber + 1;
  }
}
