/**
 * Numbers, one per place of a log: added at the end, dropped at the front, looked up by place. In one ring that stays, for
 * an array that grows, is cut and grows again gets new memory each time, which costs more than all else that is done per
 * record.
 */
import { invariant } from "./invariant.ts";

const capacityMin = 64;
/** A burst must not hold its memory for ever, nor may what comes and goes make it grow again each time. */
const shrinksBelow = 1 / 16;

export class NumberQueue {
  #ring = new Float64Array(capacityMin);
  /** Where the first stands. */
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Undefined outside. */
  at(place: number): number | undefined {
    if (!(place >= 0 && place < this.#length)) return undefined;
    return this.#ring[(this.#head + place) & (this.#ring.length - 1)];
  }

  set(place: number, value: number): void {
    if (!(place >= 0 && place < this.#length)) invariant(false, `place ${place} of ${this.#length}`);
    this.#ring[(this.#head + place) & (this.#ring.length - 1)] = value;
  }

  push(value: number): void {
    if (this.#length === this.#ring.length) this.#resize(this.#length * 2);
    this.#ring[(this.#head + this.#length) & (this.#ring.length - 1)] = value;
    this.#length += 1;
  }

  /** The first `count` are gone, or all: the others move up to the front. */
  dropFirst(count: number): void {
    const gone = Math.min(count, this.#length);
    this.#head = (this.#head + gone) & (this.#ring.length - 1);
    this.#length -= gone;
    const capacity = this.#ring.length;
    if (capacity > capacityMin && this.#length < capacity * shrinksBelow) this.#resize(capacity / 2);
  }

  /** Those from `length` on are gone. */
  cutTo(length: number): void {
    this.#length = Math.min(this.#length, length);
  }

  #resize(capacity: number): void {
    const ring = new Float64Array(capacity);
    for (let place = 0; place < this.#length; place++) ring[place] = this.at(place) as number;
    this.#ring = ring;
    this.#head = 0;
  }
}
