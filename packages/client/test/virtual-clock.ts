/** Virtual time for what runs without real sockets: it passes as fast as nothing is left to do, and always the same way. */
import type { Clock } from "@quipu/core";

/** A client that is stuck shows as an error, not as a test that never ends. */
const waitMaxMs = 60_000;

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  #timersMade = 0;
  readonly #timers = new Set<Timer>();
  #turn: (() => void)[] = [];

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    this.#timersMade++;
    const timer = { dueMs: this.#nowMs + delayMs, order: this.#timersMade, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  endOfTurn(callback: () => void): void {
    this.#turn.push(callback);
  }

  /** Lets time pass until the promise is settled. */
  async until<Value>(promise: Promise<Value>): Promise<Value> {
    let settled = false;
    const settle = (): void => {
      settled = true;
    };
    promise.then(settle, settle);
    const limitMs = this.#nowMs + waitMaxMs;
    for (;;) {
      // Whoever waits for promises goes first.
      await new Promise((resolve) => setImmediate(resolve));
      if (settled) return promise;
      if (this.#nowMs > limitMs) throw new Error(`nothing came of it within ${waitMaxMs} virtual ms`);
      this.#step();
    }
  }

  async pass(ms: number): Promise<void> {
    await this.until(new Promise<void>((resolve) => this.setTimer(ms, resolve)));
  }

  #step(): void {
    if (this.#turn.length > 0) {
      const turn = this.#turn;
      this.#turn = [];
      for (const callback of turn) callback();
      return;
    }
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      const isSooner = next === undefined || timer.dueMs < next.dueMs;
      if (isSooner || (timer.dueMs === next?.dueMs && timer.order < next.order)) next = timer;
    }
    // Callers that wait for turns of the real event loop need no time; without any, time runs out all the same.
    if (next === undefined) {
      this.#nowMs += 1;
      return;
    }
    this.#timers.delete(next);
    this.#nowMs = Math.max(this.#nowMs, next.dueMs);
    next.callback();
  }
}
