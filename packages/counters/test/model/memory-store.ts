/** A store in memory and a checkpointer that can stop anywhere: each checkpoint is one atomic batch. */
import { type Lsn, lsn } from "@quipu/core";
import type { FrozenChanges } from "../../src/checkpoint.ts";
import { CounterMachine } from "../../src/machine.ts";
import { textOf } from "./arbitraries.ts";
import { latin1 } from "./model-state.ts";

export interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export function restoreFrom(entries: Iterable<Entry>, from: "store" | "snapshot" = "store"): CounterMachine {
  const machine = new CounterMachine();
  for (const { key, value } of entries) machine.loadEntry(key.slice(), value.slice());
  machine.finishLoad(from);
  return machine;
}

/** fail: everything was handed over, but the batch could not be written. crash: whoever wrote is gone. */
export type Action = "freeze" | "slice" | "finish" | "give up" | "fail" | "crash" | "nothing";

export class MemoryStore {
  readonly #stored = new Map<string, Uint8Array>();
  /** Applied position of what is stored. */
  position: Lsn = lsn(0);
  #frozen: FrozenChanges | undefined;
  #batch: (readonly [key: string, value: Uint8Array | undefined])[] = [];

  entries(): Entry[] {
    return [...this.#stored.keys()]
      .sort()
      .map((key) => ({ key: latin1(key), value: this.#stored.get(key) as Uint8Array }));
  }

  /** What makes no sense now is left out. */
  act(machine: CounterMachine, action: Action, count: number): void {
    switch (action) {
      case "freeze":
        this.#frozen ??= machine.freezeChanges();
        return;
      case "slice":
        if (!this.#slice(count)) this.#commit();
        return;
      case "finish":
        while (this.#slice(count));
        return this.#commit();
      case "give up":
        this.#frozen?.release(false);
        return this.#forget();
      case "fail":
        while (this.#slice(count));
        this.#frozen?.release(false);
        return this.#forget();
      case "crash":
        return this.#forget();
      default:
        return;
    }
  }

  #slice(count: number): boolean {
    return (
      this.#frozen?.next(count, {
        put: (key, value) => this.#batch.push([textOf(key), value.slice()]),
        delete: (key) => this.#batch.push([textOf(key), undefined]),
      }) ?? false
    );
  }

  #commit(): void {
    if (this.#frozen === undefined) return;
    for (const [key, value] of this.#batch) {
      if (value === undefined) this.#stored.delete(key);
      else this.#stored.set(key, value);
    }
    this.position = this.#frozen.position;
    this.#frozen.release();
    this.#forget();
  }

  #forget(): void {
    this.#frozen = undefined;
    this.#batch = [];
  }
}
