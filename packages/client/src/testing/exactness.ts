/** A workload that tells whether every change was made exactly once, and its check. Needs only a client. */
import { type Random, SeededRandom } from "@quipu/core";
import type { Client } from "../mod.ts";
import { expect } from "vitest";

export interface Expected {
  /** Key to the sum of what was added. */
  readonly totals: ReadonlyMap<string, bigint>;
  /** What the adds of 1 to the key `visits` answered. */
  readonly ones: readonly bigint[];
}

/** `count` turns of the event loop, so that callers spread over batches. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Callers that add one after another: 1 to `visits`, random amounts to the rest. The keys must be new. */
export async function addMany(client: Client, seed: number, callers: number, addsEach: number): Promise<Expected> {
  const totals = new Map<string, bigint>();
  const ones: bigint[] = [];
  const caller = async (random: Random): Promise<void> => {
    for (let add = 0; add < addsEach; add++) {
      if (random.chance(1, 2)) ones.push(await client.counter("visits").add());
      else {
        const key = `counter:${random.below(5)}`;
        const delta = BigInt(random.below(2000) - 1000);
        totals.set(key, (totals.get(key) ?? 0n) + delta);
        await client.counter(key).add(delta);
      }
      await turns(random.below(3));
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, index) => caller(new SeededRandom(seed * 1000 + index))));
  return { totals, ones };
}

/** `client` may be another one than did the work. */
export async function checkExact(client: Client, expected: Expected): Promise<void> {
  for (const [key, total] of expected.totals) expect(await client.counter(key).get(), key).toBe(total);
  expect(await client.counter("visits").get()).toBe(BigInt(expected.ones.length));
  // Each of the adds of 1 saw its own value: none was applied twice, none was answered without being applied.
  const inOrder = expected.ones.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  expect(inOrder).toEqual(inOrder.map((_, index) => BigInt(index + 1)));
}
