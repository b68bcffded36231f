/** Loading a machine from the state store at start. What the store holds beside the state has keys above it. */
import { type KeyValueStore, QuipuError } from "@quipu/core";
import type { ChangeSink, CounterMachine } from "@quipu/counters";

const firstKey = new Uint8Array(0);
/** Above every key of the state: all begin with an ASCII letter. */
const afterLastKey = Uint8Array.of(0xff);

/** From, and below which key the state lies. */
export const stateRange: readonly [from: Uint8Array, to: Uint8Array] = [firstKey, afterLastKey];

/** Says that the state beside it is not to be used, ever: a crash must not bring it back. */
const rejectedKey: Uint8Array = Uint8Array.of(0xff, ...new TextEncoder().encode("rejected"));

/** Durable when it resolves. The state goes when another is put in its place. */
export async function rejectState(store: KeyValueStore): Promise<void> {
  const batch = store.batch();
  batch.put(rejectedKey, new Uint8Array(0));
  await batch.write({ sync: true });
}

/** In the batch that replaces the state. */
export function acceptState(batch: ChangeSink): void {
  batch.delete(rejectedKey);
}

/** Fills a new machine with the last checkpoint; leaves it empty where there is none. */
export async function loadMachine(store: KeyValueStore, machine: CounterMachine): Promise<void> {
  if ((await store.get(rejectedKey)) !== undefined) {
    throw new QuipuError("STORE_CORRUPT", "the state in the store was found to differ from that of a majority");
  }
  for await (const page of store.entries(...stateRange)) {
    for (const [key, value] of page) machine.loadEntry(key, value);
  }
  machine.finishLoad();
}
