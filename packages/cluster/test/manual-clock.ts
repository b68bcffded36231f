/** A clock that stands still until the test moves it; ends of turns come when the test says so. */
import type { Clock } from "@quipu/core";

export class ManualClock implements Clock {
  nowMs = 1_000;
  wallOffsetMs = 1_700_000_000_000;
  #timers: { atMs: number; callback: () => void }[] = [];
  #turns: (() => void)[] = [];

  monotonicMs(): number {
    return this.nowMs;
  }

  wallMs(): number {
    return this.nowMs + this.wallOffsetMs;
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.nowMs + delayMs, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  endOfTurn(callback: () => void): void {
    this.#turns.push(callback);
  }

  /** Moves time and runs what became due, in order. */
  advance(ms: number): void {
    this.nowMs += ms;
    for (;;) {
      const due = this.#timers.filter((timer) => timer.atMs <= this.nowMs).toSorted((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) return;
      this.#timers = this.#timers.filter((other) => other !== due);
      due.callback();
    }
  }

  /** Ends turns and lets promises run until nothing is left to do (timers excepted). */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 5;) {
      const turns = this.#turns;
      this.#turns = [];
      for (const turn of turns) turn();
      quiet = turns.length === 0 ? quiet + 1 : 0;
      for (let step = 0; step < 20; step++) await Promise.resolve();
    }
  }
}
