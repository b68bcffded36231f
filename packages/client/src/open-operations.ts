/** Operations without an answer, of all sessions of a client together, and their limits (promise P9). */
import { bytesOpenMax } from "./options.ts";

export class OpenOperations {
  readonly #operationsMax: number;
  #operations = 0;
  /** Their keys and an allowance for the rest. */
  #bytes = 0;

  constructor(operationsMax: number) {
    this.#operationsMax = operationsMax;
  }

  /** Undefined: one more of `bytes` is counted in. Else why not. */
  admit(bytes: number): string | undefined {
    if (this.#operations >= this.#operationsMax) return `${this.#operations} operations wait for an answer already`;
    if (this.#bytes + bytes > bytesOpenMax) return `operations of ${this.#bytes} bytes wait for an answer already`;
    this.#operations++;
    this.#bytes += bytes;
    return undefined;
  }

  release(operations: number, bytes: number): void {
    this.#operations -= operations;
    this.#bytes -= bytes;
  }
}
