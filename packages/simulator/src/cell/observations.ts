/** What clients of a cell saw, written down for the linearizability checkers. */
import type { ClientObserver, ObservedRequest } from "../client.ts";
import type { History } from "../history.ts";

export class Observations implements ClientObserver {
  readonly #history: History;
  #answered = 0;

  constructor(history: History) {
    this.#history = history;
  }

  get count(): number {
    return this.#answered;
  }

  answered(_request: ObservedRequest, _reply: string, _lsn: number): void {
    this.#answered += 1;
  }

  failed(_request: ObservedRequest, _outcome: "definite" | "unknown"): void {}

  check(): void {
    void this.#history;
  }
}
