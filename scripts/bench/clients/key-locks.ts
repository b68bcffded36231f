/**
 * One holder per key, in arrival order, in this process. Stands in for a distributed lock around read-then-write and
 * flatters the store: a real one costs round trips of its own.
 */
export class KeyLocks {
  readonly #last = new Map<string, Promise<void>>();

  async hold<Result>(key: string, critical: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(key);
    let release = (): void => {};
    const mine = new Promise<void>((resolve) => (release = resolve));
    this.#last.set(key, mine);
    await before;
    try {
      return await critical();
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
      release();
    }
  }
}
