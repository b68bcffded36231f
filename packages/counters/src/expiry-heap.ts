/**
 * What expires when: a binary heap of entry ids by time, with each entry's place in it.
 *
 * An entry's time can be changed or taken away in logarithmic time and nothing stale stays behind, so the heap is as
 * large as the number of entries that expire. It also is the only place where expiry times are kept.
 */
import { Int32Column } from "./columns.ts";

const firstCapacity = 64;

export class ExpiryHeap {
  #times = new Float64Array(firstCapacity);
  #ids = new Int32Array(firstCapacity);
  #size = 0;
  /** Place of each entry in the heap plus one; 0 if it does not expire. */
  readonly #places = new Int32Column();

  get size(): number {
    return this.#size;
  }

  /** The earliest time, Infinity if nothing expires. */
  get nextMs(): number {
    return this.#size === 0 ? Infinity : (this.#times[0] as number);
  }

  /** The entry of {@link ExpiryHeap.nextMs}; only if something expires. */
  get nextId(): number {
    return this.#ids[0] as number;
  }

  /** When `id` expires, or -1. */
  timeOf(id: number): number {
    const place = this.#places.get(id);
    return place === 0 ? -1 : (this.#times[place - 1] as number);
  }

  set(id: number, timeMs: number): void {
    this.#places.ensure(id);
    let place = this.#places.get(id) - 1;
    if (place === -1) {
      if (this.#size === this.#ids.length) this.#grow();
      place = this.#size++;
    }
    this.#settle(place, id, timeMs);
  }

  remove(id: number): void {
    const place = this.#places.get(id) - 1;
    if (place === -1) return;
    this.#places.set(id, 0);
    const last = --this.#size;
    if (place !== last) this.#settle(place, this.#ids[last] as number, this.#times[last] as number);
  }

  /** Puts (id, time) into the hole at `place`, moving the hole up or down to where order holds. */
  #settle(hole: number, id: number, timeMs: number): void {
    const times = this.#times;
    let place = hole;
    while (place > 0) {
      const parent = (place - 1) >>> 1;
      if ((times[parent] as number) <= timeMs) break;
      this.#move(parent, place);
      place = parent;
    }
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && (times[child + 1] as number) < (times[child] as number)) child++;
      if ((times[child] as number) >= timeMs) break;
      this.#move(child, place);
      place = child;
    }
    times[place] = timeMs;
    this.#ids[place] = id;
    this.#places.set(id, place + 1);
  }

  #move(from: number, to: number): void {
    const id = this.#ids[from] as number;
    this.#times[to] = this.#times[from] as number;
    this.#ids[to] = id;
    this.#places.set(id, to + 1);
  }

  #grow(): void {
    const times = new Float64Array(this.#size * 2);
    times.set(this.#times);
    this.#times = times;
    const ids = new Int32Array(this.#size * 2);
    ids.set(this.#ids);
    this.#ids = ids;
  }
}
