/**
 * Applies a record of our own and answers its callers, item by item: outcomes of logged commands, reads at their
 * places between them, and the callers' own replies. The hot loop of the whole server.
 */
import { type Int64, int64FromBigInt, invariant, type QuipuError } from "@quipu/core";
import {
  commandWasRun,
  type CounterMachine,
  type OutcomeValue,
  type ReadOperation,
  type RunOutcome,
} from "@quipu/counters";
import { type Batch, placeFailure, placeRead, placeRide, type RunResult } from "./batch.ts";
import type { Caller } from "./caller.ts";

export class Answerer {
  readonly #machine: CounterMachine;
  /** Results of runs with several callers, by command index; only the present record's are valid. */
  readonly #runs: (RunResult | undefined)[] = [];

  constructor(machine: CounterMachine) {
    this.#machine = machine;
  }

  /** `beginRecord` said "apply". Applies every command and answers every item, in order. */
  applyAndAnswer(batch: Batch): void {
    const machine = this.#machine;
    let applied = 0;
    let readsAnswered = 0;
    let failuresAnswered = 0;
    let last: Caller | undefined;
    for (let item = 0; item < batch.itemCount; item++) {
      const caller = batch.caller(item);
      const tag = batch.tag(item);
      const place = batch.place(item);
      if (last !== caller) {
        last?.flush();
        last = caller;
      }
      if (place >= 0) {
        if (place < applied) {
          this.#answerFolded(caller, tag, place);
          continue;
        }
        applied += 1;
        if (machine.applyNext() !== commandWasRun) caller.deliver(tag, machine.outcome);
        else if (machine.run.count === 1) answerSingle(caller, tag, machine.run);
        else this.#answerFirst(caller, tag, place, machine.run);
      } else if (place === placeRide) {
        caller.ride(tag);
      } else if (place === placeRead) {
        caller.deliver(tag, machine.read(batch.reads[readsAnswered++] as ReadOperation));
      } else {
        caller.fail(tag, batch.failures[failuresAnswered++] as QuipuError);
      }
    }
    invariant(machine.remainingCommands === 0, `${machine.remainingCommands} commands have no caller`);
    machine.endRecord();
    last?.flush();
  }

  /** A batch with nothing to log: reads, rides and refusals, at the present state. */
  answerWithoutRecord(batch: Batch): void {
    let readsAnswered = 0;
    let failuresAnswered = 0;
    forEachItem(batch, (caller, tag, place) => {
      if (place === placeRide) caller.ride(tag);
      else if (place === placeRead) {
        caller.deliver(tag, this.#machine.read(batch.reads[readsAnswered++] as ReadOperation));
      } else caller.fail(tag, batch.failures[failuresAnswered++] as QuipuError);
    });
  }

  /**
   * The record is not in the log, or nobody knows: every item fails, the callers' own replies excepted. What changes
   * nothing whatever became of the record is told so (P7): reads get `ofReads`, and what was refused before its reason.
   */
  failAll(batch: Batch, error: QuipuError, ofReads: QuipuError): void {
    let failuresAnswered = 0;
    forEachItem(batch, (caller, tag, place) => {
      if (place === placeRide) caller.ride(tag);
      else if (place === placeRead) caller.fail(tag, ofReads);
      else if (place === placeFailure) caller.fail(tag, batch.failures[failuresAnswered++] as QuipuError);
      else caller.fail(tag, error);
    });
  }

  #answerFirst(caller: Caller, tag: number, place: number, run: RunOutcome): void {
    const { first, delta, admitted, rejection } = run;
    this.#runs[place] = { first, delta, admitted, next: 1, rejection: refusal(rejection) };
    if (admitted > 0) caller.deliverInteger(tag, first);
    else caller.deliver(tag, refusal(rejection));
  }

  #answerFolded(caller: Caller, tag: number, place: number): void {
    const run = this.#runs[place] as RunResult;
    const ordinal = run.next++;
    if (ordinal >= run.admitted) {
      caller.deliver(tag, run.rejection);
      return;
    }
    caller.deliverInteger(tag, valueAt(run.first, run.delta, ordinal));
  }
}

/** Every item in order, with a flush after the last of each series of one caller. */
function forEachItem(batch: Batch, answer: (caller: Caller, tag: number, place: number) => void): void {
  const { itemCount } = batch;
  for (let item = 0; item < itemCount; item++) {
    const caller = batch.caller(item);
    answer(caller, batch.tag(item), batch.place(item));
    if (item + 1 === itemCount || batch.caller(item + 1) !== caller) caller.flush();
  }
}

function answerSingle(caller: Caller, tag: number, run: RunOutcome): void {
  if (run.admitted === 1) caller.deliverInteger(tag, run.first);
  else caller.deliver(tag, refusal(run.rejection));
}

/** `first + ordinal * delta`, exact; the machine has admitted it, so it fits. */
function valueAt(first: Int64, delta: Int64, ordinal: number): Int64 {
  if (typeof first === "number" && typeof delta === "number") {
    const value = first + delta * ordinal;
    if (Number.isSafeInteger(value)) return value === 0 ? 0 : value;
  }
  const exact = int64FromBigInt(BigInt(first) + BigInt(delta) * BigInt(ordinal));
  invariant(exact !== undefined, `the run left int64: ${first} + ${ordinal} * ${delta}`);
  return exact;
}

function refusal(code: RunOutcome["rejection"]): OutcomeValue {
  return { type: "error", code };
}
