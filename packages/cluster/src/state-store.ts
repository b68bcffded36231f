/** Loading a machine from the state store at start. What the store holds beside the state has keys above it. */
import type { KeyValueStore } from "@quipu/core";
import type { CounterMachine } from "@quipu/counters";

const firstKey = new Uint8Array(0);
/** Above every key of the state: all begin with an ASCII letter. */
const afterLastKey = Uint8Array.of(0xff);

/** From, and below which key the state lies. */
export const stateRange: readonly [from: Uint8Array, to: Uint8Array] = [firstKey, afterLastKey];

/** Fills a new machine with the last checkpoint; leaves it empty where there is none. */
export async function loadMachine(store: KeyValueStore, machine: CounterMachine): Promise<void> {
  for await (const page of store.entries(...stateRange)) {
    for (const [key, value] of page) machine.loadEntry(key, value);
  }
  machine.finishLoad();
}
