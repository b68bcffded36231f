/**
 * Ticks: if something falls due and nothing is appended, an empty record carries the time (DESIGN §4.4). What one record
 * could not take of a storm is due still, so that the next tick follows it at once.
 */
import type { Clock } from "@quipu/core";
import type { CounterMachine } from "@quipu/counters";

/** Nodes that share a log take turns: the first one's tick is nearly always there before the next would write. */
const turnMs = 40;
const turns = 5;

/** A node that has just started leaves ticks to others for so long: until one of them has told it what time it is. */
const hearMs = 500;

/** Wait where other records are under way, or ticks are left to others; what is delivered meanwhile may make it needless. */
const notNowMs = 50;

/** Long waits are cut: the clock may be followed forward meanwhile. */
const waitMsMax = 60_000;

export interface TickerOptions {
  readonly clock: Clock;
  readonly machine: CounterMachine;
  /** Of a node that shares the log with others. */
  readonly shared?: {
    /** Its number, by which they take turns. */
    readonly turn: number;
    /** The time of the cell has been seen. */
    readonly knowsTime: () => boolean;
  };
  /** Log time as a record would be stamped now. */
  readonly nowMs: () => number;
  /** Appends an empty record; false where other records are under way, which carry the time as well. */
  readonly tick: () => boolean;
}

export class Ticker {
  readonly #options: TickerOptions;
  readonly #patienceMs: number;
  #cancel: (() => void) | undefined;
  #dueMs = Number.POSITIVE_INFINITY;
  #isRunning = false;
  #startedMs = 0;

  constructor(options: TickerOptions) {
    this.#options = options;
    this.#patienceMs = ((options.shared?.turn ?? 0) % turns) * turnMs;
  }

  start(): void {
    this.#isRunning = true;
    this.#startedMs = this.#options.clock.monotonicMs();
    this.schedule();
  }

  /** Another node has started, whose clock may be wrong: somebody says what time it is before it stamps anything. */
  tellNewcomer(): void {
    const { clock, machine, tick } = this.#options;
    if (this.#leavesToOthers) return;
    const { logTimeMs } = machine;
    clock.setTimer(this.#patienceMs, () => {
      if (this.#isRunning && machine.logTimeMs === logTimeMs) tick();
    });
  }

  get #leavesToOthers(): boolean {
    const { clock, shared } = this.#options;
    return shared !== undefined && !shared.knowsTime() && clock.monotonicMs() - this.#startedMs < hearMs;
  }

  stop(): void {
    this.#isRunning = false;
    this.#cancel?.();
  }

  /** After every change: what is due next may be another. */
  schedule(delayMinMs: number = 1): void {
    const { clock, machine, nowMs } = this.#options;
    const dueMs = machine.nextDueMs;
    if (dueMs === this.#dueMs || !this.#isRunning) return;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#dueMs = dueMs;
    if (dueMs === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.min(Math.max(dueMs - nowMs(), delayMinMs), waitMsMax) + this.#patienceMs;
    this.#cancel = clock.setTimer(delayMs, () => this.#fire());
  }

  #fire(): void {
    this.#cancel = undefined;
    this.#dueMs = Number.POSITIVE_INFINITY;
    const { machine, nowMs, tick } = this.#options;
    if (machine.nextDueMs > nowMs()) this.schedule();
    else if (this.#leavesToOthers || !tick()) this.schedule(notNowMs);
  }
}
