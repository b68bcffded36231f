/** Which voters have durably accepted each slot of the leader's window: a bit for each, counted slot by slot. */
import { NumberQueue } from "@quipu/core";
import { moved } from "../entries.ts";
import type { LogIndex } from "../quantities.ts";

/** Slots that are chosen wait until there are so many, and leave together. */
const chosenKeptMax = 4096;

export class Acknowledgements {
  /** Of slot `first + i`. */
  readonly #bits = new NumberQueue();
  #first: LogIndex;
  readonly #quorum: number;

  constructor(first: LogIndex, quorum: number) {
    this.#first = first;
    this.#quorum = quorum;
  }

  /** Slots up to `last` are proposed. */
  extendTo(last: LogIndex): void {
    while (this.#first + this.#bits.length <= last) this.#bits.push(0);
  }

  has(bit: number, index: LogIndex): boolean {
    return ((this.#bits.at(index - this.#first) ?? 0) & bit) !== 0;
  }

  /** Slots outside the window are none of its business. */
  add(bit: number, first: LogIndex, last: LogIndex): void {
    const end = Math.min(last - this.#first + 1, this.#bits.length);
    for (let at = Math.max(0, first - this.#first); at < end; at++)
      this.#bits.set(at, (this.#bits.at(at) as number) | bit);
  }

  /** From `committed` on, up to the last slot before one that no quorum has accepted yet. */
  chosenPrefix(committed: LogIndex): LogIndex {
    let at = committed + 1 - this.#first;
    while (at < this.#bits.length && countBits(this.#bits.at(at) as number) >= this.#quorum) at++;
    const prefix = moved(this.#first, at - 1);
    if (at >= chosenKeptMax && at * 2 >= this.#bits.length) {
      this.#bits.dropFirst(at);
      this.#first = moved(this.#first, at);
    }
    return prefix;
  }
}

function countBits(bits: number): number {
  let count = 0;
  for (let left = bits; left !== 0; left &= left - 1) count += 1;
  return count;
}
