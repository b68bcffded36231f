/** The books: the history, which knows what the log says, and the ledger, which knows what clients were told. */
import type { CounterMachine } from "@quipu/counters";
import { check } from "./failure.ts";
import type { History } from "./history.ts";
import type { Ledger } from "./ledger.ts";
import { naiveKey } from "./naive-operations.ts";

export class Books {
  readonly #history: History;
  readonly #ledger: Ledger;
  readonly #isBlind: boolean;

  /** `isBlind`: tests only; states are not looked at, so that others have to see what is wrong with them. */
  constructor(history: History, ledger: Ledger, isBlind = false) {
    this.#isBlind = isBlind;
    this.#history = history;
    this.#ledger = ledger;
  }

  /** After recovery: everything acknowledged is there, and nothing that was refused. */
  checkRecovered(machine: CounterMachine): void {
    check(
      machine.appliedLsn >= this.#ledger.acknowledgedLsn,
      "acknowledged-lost",
      () => `recovery ends at ${machine.appliedLsn}, ${this.#ledger.acknowledgedLsn} was acknowledged`,
    );
    this.checkAll(machine);
  }

  checkAll(machine: CounterMachine): void {
    this.checkState(machine);
    this.#ledger.checkAttempts(this.#history);
    this.#ledger.checkTallies((key) => {
      const [database, name] = naiveKey(key);
      const outcome = machine.read({ type: "get", database, key: name });
      return outcome.type === "integer" ? BigInt(outcome.value) : 0n;
    });
  }

  /** The state is that of the whole history replayed from zero, sessions and idempotency entries included. */
  checkState(machine: CounterMachine): void {
    if (this.#isBlind) return;
    const expected = this.#history.hashAt(machine.appliedLsn);
    const hash = machine.stateHash();
    check(
      hash === expected,
      "state-hash",
      () => `the state at ${machine.appliedLsn} is ${hash} instead of ${expected}`,
    );
  }
}
