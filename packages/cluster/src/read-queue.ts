/**
 * Reads that have to wait: linearizable ones for a tail begun after they came (one tail serves all that wait),
 * `session` ones for a position (DESIGN §4.6).
 */
import { type Clock, type Lsn, QuipuError } from "@quipu/core";
import type { CounterMachine, ReadOperation } from "@quipu/counters";
import type { Caller } from "./caller.ts";

interface WaitingRead {
  readonly caller: Caller;
  readonly tag: number;
  readonly operation: ReadOperation;
}

interface ReadGroup {
  /** Answered once every position below this is applied; Infinity while the tail is under way. */
  readUpTo: number;
  readonly reads: readonly WaitingRead[];
  /** Until when it is waited for. */
  readonly deadlineMs: number;
  /** What its callers are told after that. */
  readonly lateText: string;
}

/** Reads waiting at once; beyond it the newcomer is refused. */
const waitingReadsMax = 100_000;

/**
 * How long a `session` read waits for a position that somebody gave: it may be none of this log's, and what waits for
 * ever would take the places of all others.
 */
const positionWaitMsMax = 5_000;

export class ReadQueue {
  readonly #clock: Pick<Clock, "monotonicMs" | "setTimer">;
  #cancelDeadline: (() => void) | undefined;
  /** When the timer of the deadlines fires. */
  #watchedUntilMs = Infinity;
  readonly #machine: CounterMachine;
  readonly #tail: () => Promise<{ readonly tail: Lsn }>;
  readonly #deadlineMs: number;
  #waiting: WaitingRead[] = [];
  #groups: ReadGroup[] = [];
  #count = 0;
  /** The reads that the tail under way is for. */
  #tailUnderWay: ReadGroup | undefined;
  /** First position not yet delivered to us. */
  #nextPosition: number;
  #milestones: { readonly tail: Lsn; readonly callback: () => void }[] = [];
  #closedBecause: QuipuError | undefined;

  /** `deadlineMs`: how long a linearizable read waits for its tail, and then for the log to get there. */
  constructor(
    machine: CounterMachine,
    clock: Pick<Clock, "monotonicMs" | "setTimer">,
    tail: () => Promise<{ readonly tail: Lsn }>,
    deadlineMs: number,
  ) {
    this.#deadlineMs = deadlineMs;
    this.#machine = machine;
    this.#clock = clock;
    this.#tail = tail;
    this.#nextPosition = machine.appliedLsn + 1;
  }

  /** A linearizable read. */
  add(caller: Caller, tag: number, operation: ReadOperation): void {
    if (!this.#admit(caller, tag)) return;
    this.#waiting.push({ caller, tag, operation });
    this.#startTail();
  }

  /** A read that waits until `position` is applied, for a while. */
  addAfter(caller: Caller, tag: number, position: Lsn, operation: ReadOperation): void {
    if (!this.#admit(caller, tag)) return;
    const reads = [{ caller, tag, operation }];
    if (position < this.#nextPosition) return this.#answer(reads);
    const deadlineMs = this.#clock.monotonicMs() + positionWaitMsMax;
    const lateText = `position ${position} was not reached within ${positionWaitMsMax} ms`;
    this.#groups.push({ readUpTo: position + 1, reads, deadlineMs, lateText });
    this.#watch(deadlineMs);
  }

  /** Positions below `nextPosition` are applied: answers whatever waited for them. */
  advance(nextPosition: number): void {
    this.#nextPosition = nextPosition;
    if (this.#milestones.length > 0) this.#passMilestones();
    if (this.#groups.length === 0) return;
    const ready = this.#groups.filter((group) => group.readUpTo <= nextPosition);
    if (ready.length === 0) return;
    this.#groups = this.#groups.filter((group) => group.readUpTo > nextPosition);
    for (const group of ready) this.#answer(group.reads);
  }

  /** Calls back once every position below `tail` is applied. */
  whenApplied(tail: Lsn, callback: () => void): void {
    if (this.#nextPosition >= tail) callback();
    else this.#milestones.push({ tail, callback });
  }

  /** Whoever waits is told `error`, and so is whoever comes later. */
  close(error: QuipuError): void {
    this.#closedBecause = error;
    this.#tailUnderWay = undefined;
    this.#cancelDeadline?.();
    this.#fail([...this.#groups.flatMap((group) => group.reads), ...this.#waiting], error);
    this.#groups = [];
    this.#waiting = [];
  }

  /** One timer, for the earliest deadline. What waits already is not looked at: there may be very much of it. */
  #watch(deadlineMs: number): void {
    if (deadlineMs >= this.#watchedUntilMs) return;
    this.#cancelDeadline?.();
    this.#watchedUntilMs = deadlineMs;
    this.#cancelDeadline = this.#clock.setTimer(Math.max(1, deadlineMs - this.#clock.monotonicMs()), () => {
      this.#watchedUntilMs = Infinity;
      this.#giveUpLate();
      this.#watch(this.#groups.reduce((earliest, group) => Math.min(earliest, group.deadlineMs), Infinity));
    });
  }

  #giveUpLate(): void {
    const nowMs = this.#clock.monotonicMs();
    const late = this.#groups.filter((group) => group.deadlineMs <= nowMs);
    this.#groups = this.#groups.filter((group) => group.deadlineMs > nowMs);
    for (const group of late) {
      this.#fail(group.reads, new QuipuError("OVERLOADED", group.lateText));
      // A tail that does not come must not hold up the reads that came after it began.
      if (group === this.#tailUnderWay) this.#tailUnderWay = undefined;
    }
    this.#startTail();
  }

  #passMilestones(): void {
    const passed = this.#milestones.filter(({ tail }) => tail <= this.#nextPosition);
    this.#milestones = this.#milestones.filter(({ tail }) => tail > this.#nextPosition);
    for (const { callback } of passed) callback();
  }

  #admit(caller: Caller, tag: number): boolean {
    if (this.#count < waitingReadsMax && this.#closedBecause === undefined) {
      this.#count += 1;
      return true;
    }
    const overloaded = (): QuipuError => new QuipuError("OVERLOADED", `${waitingReadsMax} reads are waiting already`);
    caller.fail(tag, this.#closedBecause ?? overloaded());
    caller.flush();
    return false;
  }

  #startTail(): void {
    if (this.#tailUnderWay !== undefined || this.#waiting.length === 0 || this.#closedBecause !== undefined) return;
    // Only the reads that wait now are served by this tail: it began after they came.
    const group: ReadGroup = {
      readUpTo: Infinity,
      reads: this.#waiting,
      deadlineMs: this.#clock.monotonicMs() + this.#deadlineMs,
      lateText: `the log did not get to its tail within ${this.#deadlineMs} ms`,
    };
    this.#waiting = [];
    this.#tailUnderWay = group;
    this.#groups.push(group);
    this.#watch(group.deadlineMs);
    this.#tail().then(
      ({ tail }) => {
        if (group !== this.#tailUnderWay) return; // Too late: its reads were told so.
        this.#tailUnderWay = undefined;
        group.readUpTo = tail;
        this.advance(this.#nextPosition);
        this.#startTail();
      },
      (error: unknown) => {
        if (group !== this.#tailUnderWay) return;
        this.#tailUnderWay = undefined;
        this.#groups = this.#groups.filter((other) => other !== group);
        this.#fail(group.reads, tailFailure(error));
        this.#startTail();
      },
    );
  }

  #answer(reads: readonly WaitingRead[]): void {
    this.#count -= reads.length;
    forEach(reads, ({ caller, tag, operation }) => caller.deliver(tag, this.#machine.read(operation)));
  }

  #fail(reads: readonly WaitingRead[], error: QuipuError): void {
    this.#count -= reads.length;
    forEach(reads, ({ caller, tag }) => caller.fail(tag, error));
  }
}

/** With a flush after the last of each series of one caller: a write to its socket costs more than many reads. */
function forEach(reads: readonly WaitingRead[], answer: (read: WaitingRead) => void): void {
  for (let at = 0; at < reads.length; at++) {
    const read = reads[at] as WaitingRead;
    answer(read);
    if (reads[at + 1]?.caller !== read.caller) read.caller.flush();
  }
}

/** Definite, whatever the log says: a read changes nothing. */
function tailFailure(error: unknown): QuipuError {
  if (error instanceof QuipuError && error.outcome === "definite") return error;
  return new QuipuError("OVERLOADED", "the log did not answer", { cause: error });
}
