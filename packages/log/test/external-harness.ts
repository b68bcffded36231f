/** Logs on a model of a coordination service, in real turns of the event loop: time stands still while nothing waits. */
import { type Clock, SeededRandom } from "@quipu/core";
import { ModelCluster, type ModelServiceOptions } from "@quipu/simulator";
import { externalEngine, type ExternalEngineOptions, type Loglet, type LogletEngine } from "../src/mod.ts";

/** Timers fire in order, one for each turn of the event loop, and time is when the last one was due. */
export class TurnClock implements Clock {
  #nowMs = 0;
  readonly #timers: { readonly dueMs: number; readonly callback: () => void }[] = [];
  #isTurning = false;

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, callback };
    const place = this.#timers.findIndex(({ dueMs }) => dueMs > timer.dueMs);
    this.#timers.splice(place === -1 ? this.#timers.length : place, 0, timer);
    this.#turn();
    return () => {
      const at = this.#timers.indexOf(timer);
      if (at !== -1) this.#timers.splice(at, 1);
    };
  }

  endOfTurn(callback: () => void): void {
    this.setTimer(0, callback);
  }

  #turn(): void {
    if (this.#isTurning) return;
    this.#isTurning = true;
    setImmediate(() => {
      this.#isTurning = false;
      const timer = this.#timers.shift();
      if (timer === undefined) return;
      this.#nowMs = timer.dueMs;
      this.#turn();
      timer.callback();
    });
  }
}

export class TestCluster {
  readonly clock: TurnClock = new TurnClock();
  readonly cluster: ModelCluster;
  #seed: number;

  constructor(options: Partial<ModelServiceOptions> & { readonly seed?: number } = {}) {
    this.#seed = options.seed ?? 1;
    this.cluster = new ModelCluster({ clock: this.clock, random: this.#random(), ...options });
  }

  /** The engine of one more node. */
  engine(options: Partial<ExternalEngineOptions> = {}): LogletEngine<Loglet> {
    const { clock } = this;
    return externalEngine({ service: this.cluster.connect(), clock, random: this.#random(), ...options });
  }

  #random(): SeededRandom {
    return new SeededRandom(this.#seed++);
  }
}
