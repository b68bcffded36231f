/**
 * When batches are written: as soon as the callback that filled them is over, and before anything that it has set off.
 *
 * The write-ahead log syncs on the event loop, in a microtask behind the callback that appended; what was sent in that
 * callback must be on its way by then, or every follower waits for the leader's disk. Ticks run before microtasks where
 * a callback ends, and microtasks in the order of their making where a microtask sends. So both are asked, and
 * whichever comes first writes.
 */
export class Flusher {
  readonly #waiting: { flush(): void }[] = [];
  #isScheduled = false;
  readonly #flush = (): void => {
    this.#isScheduled = false;
    for (let next = this.#waiting.pop(); next !== undefined; next = this.#waiting.pop()) next.flush();
  };

  soon(batch: { flush(): void }): void {
    this.#waiting.push(batch);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    process.nextTick(this.#flush);
    queueMicrotask(this.#flush);
  }
}
