/** The simulated key-value store keeps what LevelDB keeps, and loses all it may lose. */
import { SeededRandom } from "@quipu/core";
import { expect, test } from "vitest";
import { SimulatedKeyValueStore } from "../src/key-value-store.ts";

const key = (text: string): Uint8Array => new TextEncoder().encode(text);

function makeStore(seed: number): SimulatedKeyValueStore {
  return new SimulatedKeyValueStore({
    random: new SeededRandom(seed),
    complete: (action) => queueMicrotask(action),
    pageEntries: 2,
  });
}

async function put(store: SimulatedKeyValueStore, names: readonly string[], sync: boolean): Promise<void> {
  const batch = store.batch();
  for (const name of names) batch.put(key(name), key(`value of ${name}`));
  await batch.write({ sync });
}

async function names(store: SimulatedKeyValueStore): Promise<string[]> {
  const found: string[] = [];
  for await (const page of store.entries(key(""), Uint8Array.of(0xff))) {
    found.push(...page.map(([name]) => new TextDecoder().decode(name)));
  }
  return found;
}

test("a crash loses a suffix of the unsynced batches, every suffix for some seed, whole batches only", async () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 60; seed++) {
    const store = makeStore(seed);
    await put(store, ["a1", "a2"], false);
    await put(store, ["b1"], true);
    await put(store, ["c1", "c2"], false);
    await put(store, ["d1"], false);
    seen.add((await names(store.crash())).join(" "));
  }
  expect([...seen].sort()).toEqual(["a1 a2 b1", "a1 a2 b1 c1 c2", "a1 a2 b1 c1 c2 d1"]);
});

test("a sync that did not complete before the crash promises nothing", async () => {
  const store = makeStore(1);
  await put(store, ["a"], true);
  void put(store, ["b"], true);
  expect(await names(store.crash("none"))).toEqual(["a"]);
});

test("entries are ordered by bytes, in pages, and deletes hold", async () => {
  const store = makeStore(1);
  await put(store, ["b", "a", "c", "d", "é"], true);
  const batch = store.batch();
  batch.delete(key("c"));
  await batch.write({ sync: false });
  expect(await names(store)).toEqual(["a", "b", "d", "é"]);
  expect(await store.get(key("c"))).toBeUndefined();
  expect(await store.get(key("a"))).toEqual(key("value of a"));
});
