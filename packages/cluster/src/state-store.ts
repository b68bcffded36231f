/** Loading a machine from the state store at start. */
import type { KeyValueStore } from "@quipu/core";
import type { CounterMachine } from "@quipu/counters";

const firstKey = new Uint8Array(0);
/** Above every key: all begin with an ASCII letter. */
const afterLastKey = Uint8Array.of(0xff);

/** Fills a new machine with the last checkpoint; leaves it empty where there is none. */
export async function loadMachine(store: KeyValueStore, machine: CounterMachine): Promise<void> {
  for await (const page of store.entries(firstKey, afterLastKey)) {
    for (const [key, value] of page) machine.loadEntry(key, value);
  }
  machine.finishLoad();
}
