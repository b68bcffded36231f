/** One counter: an exact signed 64-bit integer under a key (promise P6: bigint everywhere). */
import { type Int64, int64FromBigInt, QuipuError } from "@quipu/core";
import { encodeUtf8, utf8Length } from "@quipu/protocol";
import type { CompareAndSetResult, OperationKind, Reject, Resolve } from "./batch.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { keyBytesMax } from "./options.ts";

const verb = (name: string): Uint8Array => encodeUtf8(`$${name.length}\r\n${name}\r\n`);
const verbs: Readonly<Record<OperationKind, Uint8Array>> = {
  add: verb("ADD"),
  get: verb("GET"),
  set: verb("SET"),
  compareAndSet: verb("CAS"),
  delete: verb("DEL"),
};

/** In place of an expected value: the counter must not exist. */
const mustBeAbsent = "~";

export class Counter {
  readonly key: string;
  readonly #dispatcher: Dispatcher;

  /** Made by {@link Client.counter}. */
  constructor(key: string, dispatcher: Dispatcher) {
    if (key.length * 3 > keyBytesMax && utf8Length(key) > keyBytesMax) {
      throw new QuipuError("KEY_TOO_LARGE", `a key has at most ${keyBytesMax} bytes in UTF-8`);
    }
    // UTF-8 would turn each into U+FFFD, and two keys into one counter.
    if (/\p{Surrogate}/u.test(key))
      throw new QuipuError("INVALID_ARGUMENT", "a key is Unicode text: no lone surrogates");
    this.key = key;
    this.#dispatcher = dispatcher;
  }

  /**
   * Adds `n`, which may be negative, exactly once. An absent counter counts as 0.
   * @returns the value afterwards
   * @throws QuipuError OUT_OF_BOUNDS, OVERFLOW, NOT_AN_INTEGER: nothing changed
   */
  add(n: bigint | number = 1): Promise<bigint> {
    return this.#submit<bigint>("add", 1, toInt64(n));
  }

  /** The present value, this client's earlier calls included; 0n if the counter is absent. */
  get(): Promise<bigint> {
    return this.#submit<bigint>("get", 0);
  }

  /**
   * Sets the value.
   * @throws QuipuError OUT_OF_BOUNDS: nothing changed
   */
  set(value: bigint | number): Promise<void> {
    return this.#submit<void>("set", 1, toInt64(value));
  }

  /** Sets `value` if the present one is `expected` (null: if the counter is absent), and tells what is there. */
  compareAndSet(expected: bigint | number | null, value: bigint | number): Promise<CompareAndSetResult> {
    const exact = expected === null ? null : toInt64(expected);
    return this.#submit<CompareAndSetResult>("compareAndSet", 2, exact, toInt64(value));
  }

  /** Removes the counter. True if there was one. */
  delete(): Promise<boolean> {
    return this.#submit<boolean>("delete", 0);
  }

  /** With `count` arguments behind the key; an undefined one is no 64-bit integer. */
  #submit<Result>(kind: OperationKind, count: 0 | 1 | 2, first?: Int64 | null, second?: Int64): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      if ((count > 0 && first === undefined) || (count > 1 && second === undefined)) {
        reject(new QuipuError("INVALID_ARGUMENT", "not a signed 64-bit integer (a number must be a safe integer)"));
        return;
      }
      // The batch resolves each kind with the type that its method promises.
      const words = this.#dispatcher.begin(kind, this.key, 2 + count, resolve as Resolve, reject as Reject);
      if (words === undefined) return;
      words.raw(verbs[kind]);
      words.bulkText(this.key);
      if (first === null) words.bulkText(mustBeAbsent);
      else if (first !== undefined) words.bulkInteger(first);
      if (second !== undefined) words.bulkInteger(second);
    });
  }
}

function toInt64(value: bigint | number): Int64 | undefined {
  if (typeof value === "bigint") return int64FromBigInt(value);
  return Number.isSafeInteger(value) ? value : undefined;
}
