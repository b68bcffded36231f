/** How large the entries of a group's log are, so that what it keeps in memory can be bounded. */
import { invariant } from "@quipu/core";
import type { Entry } from "@quipu/consensus";

/** Of an entry beside its data: the object, its place in the log. An estimate. */
const entryOverheadBytes = 128;

export class LogSizes {
  /** Size of the entry `#first + i`, dropped ones before `#head` included until there are many. */
  #sizes: number[] = [];
  #head = 0;
  #first: number;
  #bytes = 0;

  /** Places may be empty, and be given anew. */
  readonly #hasHoles: boolean;

  constructor(startIndex: number, entries: readonly Entry[], hasHoles: boolean = false) {
    this.#first = startIndex + 1;
    this.#hasHoles = hasHoles;
    this.append(entries);
  }

  /** Of all entries together. */
  get bytes(): number {
    return this.#bytes;
  }

  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const size = entryOverheadBytes + (entry.kind === "record" ? entry.data.length : 0);
      const end = this.#first + this.#sizes.length;
      this.#bytes += size;
      if (entry.index === end) {
        this.#sizes.push(size);
        continue;
      }
      invariant(this.#hasHoles, `entry ${entry.index} where ${end} is next`);
      const place = entry.index - this.#first;
      invariant(place >= this.#head, `entry ${entry.index}, the log begins at ${this.#first + this.#head}`);
      while (this.#sizes.length < place) this.#sizes.push(0);
      this.#bytes -= this.#sizes[place] ?? 0;
      this.#sizes[place] = size;
    }
  }

  /** The entries from `index` on are gone. */
  truncateFrom(index: number): void {
    while (this.#first + this.#sizes.length > index && this.#sizes.length > this.#head) {
      this.#bytes -= this.#sizes.pop() ?? 0;
    }
  }

  /** The entries up to `index` are gone. */
  trim(index: number): void {
    while (this.#first + this.#head <= index && this.#head < this.#sizes.length) {
      this.#bytes -= this.#sizes[this.#head++] ?? 0;
    }
    if (this.#head > 1024 && this.#head * 2 > this.#sizes.length) {
      this.#sizes = this.#sizes.slice(this.#head);
      this.#first += this.#head;
      this.#head = 0;
    }
  }

  restart(startIndex: number): void {
    this.#sizes = [];
    this.#head = 0;
    this.#first = startIndex + 1;
    this.#bytes = 0;
  }
}
