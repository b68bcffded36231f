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

  constructor(startIndex: number, entries: readonly Entry[]) {
    this.#first = startIndex + 1;
    this.append(entries);
  }

  /** Of all entries together. */
  get bytes(): number {
    return this.#bytes;
  }

  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const end = this.#first + this.#sizes.length;
      invariant(entry.index === end, `entry ${entry.index} where ${end} is next`);
      const size = entryOverheadBytes + (entry.kind === "record" ? entry.data.length : 0);
      this.#sizes.push(size);
      this.#bytes += size;
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
