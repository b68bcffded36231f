/** The simulated clocks: the wall clock of the machine, which jumps, and the monotonic one of each process. */
import type { Clock, Random } from "@quipu/core";
import type { ProcessLife, Scheduler } from "./scheduler.ts";

/** 2025-06-01: any date after 2020 will do. */
const wallOriginMs = 1_748_736_000_000;
/** A look at the clock costs this much, so that loops which watch the time end. */
const lookUs = 1;
/** Timers are late by up to this much; they are never early. */
const timerLatenessUsMax = 400;

/** What the operating system shows. Survives the process. */
export class WallClock {
  readonly #scheduler: Scheduler;
  /** How fast this machine's crystal runs, of real time. */
  readonly #rate: number;
  #offsetMs = wallOriginMs;
  /** The highest time that log time may have reached: it follows jumps forward and never goes back. */
  #highestOffsetMs = wallOriginMs;

  constructor(scheduler: Scheduler, rate: number = 1) {
    this.#scheduler = scheduler;
    this.#rate = rate;
  }

  nowMs(): number {
    return this.#offsetMs + (this.#scheduler.nowUs * this.#rate) / 1000;
  }

  jump(byMs: number): void {
    this.#offsetMs += byMs;
    this.#highestOffsetMs = Math.max(this.#highestOffsetMs, this.#offsetMs);
  }

  /** No record may bear a later stamp than this, nor any that a process `fastest` times as fast has made of it since. */
  latestStampMs(fastest: number = this.#rate): number {
    return this.#highestOffsetMs + (this.#scheduler.nowUs * fastest) / 1000;
  }
}

/** The clock of one process. */
export class SimulatedClock implements Clock {
  readonly #scheduler: Scheduler;
  readonly #wall: WallClock;
  readonly #life: ProcessLife;
  readonly #random: Random;
  readonly #originUs: number;
  readonly #rate: number;

  constructor(scheduler: Scheduler, wall: WallClock, life: ProcessLife, random: Random, rate: number = 1) {
    this.#scheduler = scheduler;
    this.#rate = rate;
    this.#wall = wall;
    this.#life = life;
    this.#random = random;
    this.#originUs = scheduler.nowUs - random.below(1_000_000);
  }

  monotonicMs(): number {
    this.#scheduler.spend(lookUs);
    return ((this.#scheduler.nowUs - this.#originUs) * this.#rate) / 1000;
  }

  wallMs(): number {
    return this.#wall.nowMs();
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const delayUs = Math.ceil((delayMs * 1000) / this.#rate) + this.#random.below(timerLatenessUsMax);
    return this.#scheduler.schedule(delayUs, this.#life, callback);
  }

  endOfTurn(callback: () => void): void {
    this.#scheduler.schedule(0, this.#life, callback);
  }
}
