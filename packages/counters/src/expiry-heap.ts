/**
 * What expires when: a binary heap of entry ids by time, with each entry's place in it.
 *
 * An entry's time can be changed or taken away in logarithmic time and nothing stale stays behind, so the heap is as
 * large as the number of entries that expire. It also is the only place where expiry times are kept.
 *
 * Entries of one time are ordered by what their keys are, never by how they came here: a storm of them goes in parts,
 * and every replica, restored or not, must take the same part.
 */
import { Int32Column } from "./columns.ts";

/** A total order of keys. Ids differ from replica to replica and must not influence it. */
export interface KeyOrder {
  /** 32 bits of the key, equal on all replicas; kept beside the time, so that the keys themselves are seldom read. */
  keyTie(id: number): number;
  /** Negative or positive: for entries whose ties are equal. */
  compareKeys(left: number, right: number): number;
}

const firstCapacity = 64;

export class ExpiryHeap {
  readonly #order: KeyOrder;
  #times = new Float64Array(firstCapacity);
  #ties = new Int32Array(firstCapacity);
  #ids = new Int32Array(firstCapacity);
  #size = 0;
  /** Place of each entry in the heap plus one; 0 if it does not expire. */
  readonly #places = new Int32Column();

  constructor(order: KeyOrder) {
    this.#order = order;
  }

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

  /** Its key must be in the table already. */
  set(id: number, timeMs: number): void {
    this.#places.ensure(id);
    let place = this.#places.get(id) - 1;
    if (place === -1) {
      if (this.#size === this.#ids.length) this.#grow();
      place = this.#size++;
    }
    this.#settle(place, id, timeMs, this.#order.keyTie(id));
  }

  remove(id: number): void {
    const place = this.#places.get(id) - 1;
    if (place === -1) return;
    this.#places.set(id, 0);
    const last = --this.#size;
    if (place === last) return;
    this.#settle(place, this.#ids[last] as number, this.#times[last] as number, this.#ties[last] as number);
  }

  /** Puts an entry into the hole at `place`, moving the hole up or down to where order holds. */
  #settle(hole: number, id: number, timeMs: number, tie: number): void {
    let place = hole;
    while (place > 0) {
      const parent = (place - 1) >>> 1;
      if (!this.#isAfter(parent, id, timeMs, tie)) break;
      this.#move(parent, place);
      place = parent;
    }
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && this.#isAfterPlace(child, child + 1)) child++;
      if (this.#isAfter(child, id, timeMs, tie)) break;
      this.#move(child, place);
      place = child;
    }
    this.#times[place] = timeMs;
    this.#ties[place] = tie;
    this.#ids[place] = id;
    this.#places.set(id, place + 1);
  }

  #isAfterPlace(place: number, other: number): boolean {
    return this.#isAfter(place, this.#ids[other] as number, this.#times[other] as number, this.#ties[other] as number);
  }

  /** Whether the entry at `place` comes after the given one. */
  #isAfter(place: number, id: number, timeMs: number, tie: number): boolean {
    const time = this.#times[place] as number;
    if (time !== timeMs) return time > timeMs;
    const ownTie = this.#ties[place] as number;
    if (ownTie !== tie) return ownTie > tie;
    return this.#order.compareKeys(this.#ids[place] as number, id) > 0;
  }

  #move(from: number, to: number): void {
    const id = this.#ids[from] as number;
    this.#times[to] = this.#times[from] as number;
    this.#ties[to] = this.#ties[from] as number;
    this.#ids[to] = id;
    this.#places.set(id, to + 1);
  }

  #grow(): void {
    const times = new Float64Array(this.#size * 2);
    times.set(this.#times);
    this.#times = times;
    const ties = new Int32Array(this.#size * 2);
    ties.set(this.#ties);
    this.#ties = ties;
    const ids = new Int32Array(this.#size * 2);
    ids.set(this.#ids);
    this.#ids = ids;
  }
}
