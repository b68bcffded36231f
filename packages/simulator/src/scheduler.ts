/**
 * Virtual time: a queue of events, taken one by one. Among events that are due together the seed chooses, so
 * that no order which reality does not promise is ever relied upon.
 */
import { invariant, type Random } from "@quipu/core";

/** The life of one process. Once it is dead its events never happen. */
export interface ProcessLife {
  alive: boolean;
  /** Only while the process is paused: what fell due meanwhile. */
  held?: HeldEvent[] | undefined;
}

/** An event that waits for its process to go on; for {@link Scheduler.resume} alone. */
export type HeldEvent = ScheduledEvent;

interface ScheduledEvent {
  dueUs: number;
  /** Drawn when scheduled: the seeded choice among events due at the same time. */
  tieBreak: number;
  readonly sequence: number;
  readonly life: ProcessLife | undefined;
  action: (() => void) | undefined;
}

export class Scheduler {
  readonly #random: Random;
  /** Binary heap, the earliest event first. */
  readonly #heap: ScheduledEvent[] = [];
  #nowUs = 0;
  #sequence = 0;
  #events = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  get nowUs(): number {
    return this.#nowUs;
  }

  /** Events that have happened. */
  get events(): number {
    return this.#events;
  }

  /** The processor is busy: time passes inside an event. */
  spend(us: number): void {
    this.#nowUs += us;
  }

  /** `life` undefined: the event belongs to the world outside and survives every crash. Returns how to cancel. */
  schedule(delayUs: number, life: ProcessLife | undefined, action: () => void): () => void {
    invariant(delayUs >= 0, `an event in the past: ${delayUs} us`);
    const event: ScheduledEvent = {
      dueUs: this.#nowUs + delayUs,
      tieBreak: this.#random.uint32(),
      sequence: this.#sequence++,
      life,
      action,
    };
    this.#push(event);
    return () => {
      event.action = undefined;
    };
  }

  /** The process stands still (SIGSTOP, a long collection, a suspended machine): its events pile up. */
  pause(life: ProcessLife): void {
    life.held ??= [];
  }

  /** It goes on: timers, messages and completions that fell due meanwhile come all at once, in an order drawn anew. */
  resume(life: ProcessLife): void {
    const held = life.held ?? [];
    life.held = undefined;
    for (const event of held) {
      event.dueUs = this.#nowUs;
      event.tieBreak = this.#random.uint32();
      this.#push(event);
    }
  }

  /** Runs the next event; false if there is none. */
  step(): boolean {
    for (let event = this.#pop(); event !== undefined; event = this.#pop()) {
      const { action } = event;
      if (action === undefined || event.life?.alive === false) continue;
      if (event.life?.held !== undefined) {
        event.life.held.push(event);
        continue;
      }
      event.action = undefined;
      this.#nowUs = Math.max(this.#nowUs, event.dueUs);
      this.#events += 1;
      action();
      return true;
    }
    return false;
  }

  #push(event: ScheduledEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (isBefore(heap[parent] as ScheduledEvent, event)) break;
      heap[at] = heap[parent] as ScheduledEvent;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): ScheduledEvent | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || first === last) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as ScheduledEvent, heap[child] as ScheduledEvent))
        child++;
      if (isBefore(last, heap[child] as ScheduledEvent)) break;
      heap[at] = heap[child] as ScheduledEvent;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(left: ScheduledEvent, right: ScheduledEvent): boolean {
  if (left.dueUs !== right.dueUs) return left.dueUs < right.dueUs;
  if (left.tieBreak !== right.tieBreak) return left.tieBreak < right.tieBreak;
  return left.sequence < right.sequence;
}
