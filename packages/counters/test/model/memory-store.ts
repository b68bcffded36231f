/** A store in memory and a checkpointer that can stop anywhere: each checkpoint is one atomic batch. */
import { type Lsn, lsn } from "@quipu/core";
import { CounterMachine, type FrozenChanges } from "../../src/machine.ts";
import { textOf } from "./arbitraries.ts";
import { latin1 } from "./model-state.ts";

export interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export function restoreFrom(entries: Iterable<Entry>): CounterMachine {
  const machine = new CounterMachine();
  for (const { key, value } of entries) machine.loadEntry(key.slice(), value.slice());
  machine.finishLoad();
  return machine;
}

export type Action = "freeze" | "slice" | "finish" | "give up" | "nothing";

export class MemoryStore {
  readonly #stored = new Map<string, Uint8Array>();
  /** Applied position of what is stored. */
  position: Lsn = lsn(0);
  #frozen: FrozenChanges | undefined;
  #batch: (readonly [key: string, value: Uint8Array | undefined])[] = [];

  entries(): Entry[] {
    return [...this.#stored.keys()].sort().map((key) => ({ key: latin1(key), value: this.#stored.get(key) as Uint8Array }));
  }

  /** What makes no sense now is left out. */
  act(machine: CounterMachine, action: Action, count: number): void {
    if (action === "freeze") {
      this.#frozen ??= machine.freezeChanges();
    } else if (action === "give up") {
      this.#frozen?.release();
      this.#frozen = undefined;
      this.#batch = [];
    } else if (action !== "nothing") {
      let more = this.#frozen !== undefined;
      do more = more && this.#slice(count);
      while (action === "finish" && more);
    }
  }

  #slice(count: number): boolean {
    const frozen = this.#frozen;
    if (frozen === undefined) return false;
    const more = frozen.next(count, {
      put: (key, value) => this.#batch.push([textOf(key), value.slice()]),
      delete: (key) => this.#batch.push([textOf(key), undefined]),
    });
    if (more) return true;
    for (const [key, value] of this.#batch) {
      if (value === undefined) this.#stored.delete(key);
      else this.#stored.set(key, value);
    }
    this.position = frozen.position;
    frozen.release();
    this.#frozen = undefined;
    this.#batch = [];
    return false;
  }
}
