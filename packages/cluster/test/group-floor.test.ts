/** What a node remembers of the groups that have passed it by. */
import { type MetadataStore, memoryMetadataStore } from "@quipu/log";
import { expect, test } from "vitest";
import { GroupFloor } from "../src/cell/group-numbers.ts";

test("several raised at once are all durable when they say so, whichever is lower", async () => {
  const inner = memoryMetadataStore();
  const stored: string[] = [];
  const file: MetadataStore = {
    get: (key) => inner.get(key),
    compareAndSet: async (...change) => {
      for (let turn = 0; turn < 10; turn++) await Promise.resolve();
      const isDone = await inner.compareAndSet(...change);
      if (isDone) stored.push(new TextDecoder().decode(change[2]));
      return isDone;
    },
  };
  const floor = new GroupFloor(file, "floor");
  await floor.load();
  const first = floor.raise(8);
  const lower = floor.raise(7).then(() => [...stored]);
  const higher = floor.raise(9).then(() => [...stored]);
  expect(await lower).toContain("8");
  expect(await higher).toContain("9");
  await first;
  expect(floor.floor).toBe(9);
});
