/** First in, first out, without moving what waits: what replies need beyond their tag, in the order of the replies. */

/** Consumed places are given back once there are this many. */
const compactAt = 1024;

export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) {
      this.#items.length = 0;
      this.#head = 0;
    } else if (this.#head >= compactAt) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** The newest, taken back. */
  pop(): T | undefined {
    return this.length === 0 ? undefined : this.#items.pop();
  }

  clear(): void {
    this.#items.length = 0;
    this.#head = 0;
  }
}
