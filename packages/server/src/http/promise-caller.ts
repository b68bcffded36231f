/** One HTTP request as a {@link Caller}: a promise of the outcome and of the record that it comes from. */
import { type Int64, type Lsn, QuipuError } from "@quipu/core";
import type { Caller, ReplicaDoor } from "@quipu/cluster";
import type { Command, OutcomeValue, ReadOperation } from "@quipu/counters";

export interface Answer {
  readonly outcome: OutcomeValue;
  /** For a change the record that holds it, for a read the last record it saw. */
  readonly position: Lsn;
}

class PromiseCaller implements Caller {
  readonly #position: () => Lsn;
  readonly #resolve: (answer: Answer) => void;
  readonly #reject: (error: QuipuError) => void;

  constructor(position: () => Lsn, resolve: (answer: Answer) => void, reject: (error: QuipuError) => void) {
    this.#position = position;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  deliverInteger(_tag: number, value: Int64): void {
    this.#resolve({ outcome: { type: "integer", value }, position: this.#position() });
  }

  deliver(_tag: number, outcome: OutcomeValue): void {
    // Valid only during this call, so it is copied: the reply is built in a later turn.
    this.#resolve({ outcome: structuredClone(outcome), position: this.#position() });
  }

  fail(_tag: number, error: QuipuError): void {
    this.#reject(error);
  }

  ride(): void {}

  flush(): void {}
}

export function submit(replica: ReplicaDoor, command: Command): Promise<Answer> {
  return new Promise((resolve, reject) => {
    replica.write(new PromiseCaller(() => replica.deliveringLsn, resolve, reject), 0, command);
  });
}

/** A linearizable read. */
export function readNow(replica: ReplicaDoor, operation: ReadOperation): Promise<Answer> {
  const machine = replica.readableNow();
  if (machine !== undefined) {
    return Promise.resolve({ outcome: machine.read(operation), position: machine.appliedLsn });
  }
  return new Promise((resolve, reject) => {
    replica.read(new PromiseCaller(() => replica.machine.appliedLsn, resolve, reject), 0, operation);
  });
}
