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
  /** Answered once every position below this is applied. */
  readonly readUpTo: number;
  readonly reads: readonly WaitingRead[];
  /** Until when it is waited for; Infinity where the log is known to get there. */
  readonly deadlineMs: number;
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
  readonly #machine: CounterMachine;
  readonly #tail: () => Promise<{ readonly tail: Lsn }>;
  #waiting: WaitingRead[] = [];
  #groups: ReadGroup[] = [];
  #count = 0;
  #tailUnderWay = false;
  /** First position not yet delivered to us. */
  #nextPosition: number;
  #milestones: { readonly tail: Lsn; readonly callback: () => void }[] = [];
  #closed = false;

  constructor(
    machine: CounterMachine,
    clock: Pick<Clock, "monotonicMs" | "setTimer">,
    tail: () => Promise<{ readonly tail: Lsn }>,
  ) {
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
    const deadlineMs = this.#clock.monotonicMs() + positionWaitMsMax;
    this.#groups.push({ readUpTo: position + 1, reads: [{ caller, tag, operation }], deadlineMs });
    this.advance(this.#nextPosition);
    this.#watchDeadlines();
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

  close(): void {
    this.#closed = true;
    this.#cancelDeadline?.();
    this.#fail([...this.#groups.flatMap((group) => group.reads), ...this.#waiting], stopping());
    this.#groups = [];
    this.#waiting = [];
  }

  /** One timer, for the earliest deadline. */
  #watchDeadlines(): void {
    if (this.#cancelDeadline !== undefined) return;
    const earliestMs = this.#groups.reduce((earliest, group) => Math.min(earliest, group.deadlineMs), Infinity);
    if (earliestMs === Infinity) return;
    this.#cancelDeadline = this.#clock.setTimer(Math.max(1, earliestMs - this.#clock.monotonicMs()), () => {
      this.#cancelDeadline = undefined;
      this.#giveUpLate();
      this.#watchDeadlines();
    });
  }

  #giveUpLate(): void {
    const nowMs = this.#clock.monotonicMs();
    const late = this.#groups.filter((group) => group.deadlineMs <= nowMs);
    this.#groups = this.#groups.filter((group) => group.deadlineMs > nowMs);
    for (const { readUpTo, reads } of late) {
      const message = `position ${readUpTo - 1} was not reached within ${positionWaitMsMax} ms`;
      this.#fail(reads, new QuipuError("OVERLOADED", message));
    }
  }

  #passMilestones(): void {
    const passed = this.#milestones.filter(({ tail }) => tail <= this.#nextPosition);
    this.#milestones = this.#milestones.filter(({ tail }) => tail > this.#nextPosition);
    for (const { callback } of passed) callback();
  }

  #admit(caller: Caller, tag: number): boolean {
    if (this.#count < waitingReadsMax && !this.#closed) {
      this.#count += 1;
      return true;
    }
    const overloaded = (): QuipuError => new QuipuError("OVERLOADED", `${waitingReadsMax} reads are waiting already`);
    caller.fail(tag, this.#closed ? stopping() : overloaded());
    caller.flush();
    return false;
  }

  #startTail(): void {
    if (this.#tailUnderWay || this.#waiting.length === 0) return;
    // Only the reads that wait now are served by this tail: it began after they came.
    const reads = this.#waiting;
    this.#waiting = [];
    this.#tailUnderWay = true;
    this.#tail().then(
      ({ tail }) => {
        this.#tailUnderWay = false;
        if (this.#closed) return this.#fail(reads, stopping());
        this.#groups.push({ readUpTo: tail, reads, deadlineMs: Infinity });
        this.advance(this.#nextPosition);
        this.#startTail();
      },
      (error: unknown) => {
        this.#tailUnderWay = false;
        const failure =
          error instanceof QuipuError
            ? error
            : new QuipuError("OVERLOADED", "the log did not answer", { cause: error });
        this.#fail(reads, failure);
        this.#startTail();
      },
    );
  }

  #answer(reads: readonly WaitingRead[]): void {
    this.#count -= reads.length;
    for (const { caller, tag, operation } of reads) {
      caller.deliver(tag, this.#machine.read(operation));
      caller.flush();
    }
  }

  #fail(reads: readonly WaitingRead[], error: QuipuError): void {
    this.#count -= reads.length;
    for (const { caller, tag } of reads) {
      caller.fail(tag, error);
      caller.flush();
    }
  }
}

function stopping(): QuipuError {
  return new QuipuError("SHUTTING_DOWN", "the server is stopping");
}
