/**
 * Read barriers of a leader, batched (Raft §8, thesis §6.4). One batch waits for a quorum's echo of its number, later
 * requests gather for the next. Numbers only grow within a term: an echo of an older one proves nothing about a
 * request that came after it (P4).
 */
import type { RequestId } from "./contract.ts";
import type { LogIndex } from "./quantities.ts";

export interface ConfirmedReads {
  readonly requests: readonly RequestId[];
  readonly index: LogIndex;
}

export class ReadQueue {
  #number = 0;
  #gathering: RequestId[] = [];
  #asked: { readonly number: number; readonly requests: RequestId[]; readonly index: LogIndex }[] = [];
  #waiting = 0;

  /** The barrier last asked for; stands in every message of the leader. */
  get number(): number {
    return this.#number;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get gathers(): boolean {
    return this.#gathering.length > 0;
  }

  /** A batch waits for its echoes. */
  get asks(): boolean {
    return this.#asked.length > 0;
  }

  add(request: RequestId): void {
    this.#waiting += 1;
    this.#gathering.push(request);
  }

  /** What has gathered becomes a batch. Everything committed when its requests came is at or below `committed`. */
  ask(committed: LogIndex, reuseNumber: boolean): void {
    this.#number = reuseNumber ? Math.max(1, this.#number) : this.#number + 1;
    this.#asked.push({ number: this.#number, requests: this.#gathering, index: committed });
    this.#gathering = [];
  }

  /** The next batch that an echo of `number` by a quorum confirms. */
  takeConfirmed(number: number): ConfirmedReads | undefined {
    const first = this.#asked[0];
    if (first === undefined || first.number > number) return undefined;
    this.#asked.shift();
    this.#waiting -= first.requests.length;
    return first;
  }

  /** All that wait, in order; none do any more. */
  takeAll(): readonly RequestId[] {
    const all = [...this.#asked.flatMap((batch) => batch.requests), ...this.#gathering];
    this.#asked = [];
    this.#gathering = [];
    this.#waiting = 0;
    return all;
  }
}
