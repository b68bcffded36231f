/** The metadata store of a cell, on a log in memory. */
import { SeededRandom } from "@quipu/core";
import { type Loglet, memoryEngine, memoryMetadataStore, type MetadataStore } from "@quipu/log";
import { expect, test } from "vitest";
import { CellMetadata } from "../src/cell/metadata/cell-metadata.ts";
import { ManualClock } from "./manual-clock.ts";

const value = (text: string): Uint8Array => new TextEncoder().encode(text);

function openOn(log: Loglet, file: MetadataStore, seed: number): Promise<CellMetadata> {
  const link = { send: () => undefined, handle: () => undefined };
  const random = new SeededRandom(seed);
  const onFatal = (error: unknown): void => {
    throw error;
  };
  return CellMetadata.open({ log, file, key: "state", link, clock: new ManualClock(), random, onFatal });
}

test("that somebody was first is not said before this node's file has it", async () => {
  const engine = memoryEngine();
  const parameters = await engine.prepare();
  const inner = memoryMetadataStore();
  let letGo: () => void = () => undefined;
  const disk = new Promise<void>((resolve) => (letGo = resolve));
  const slow: MetadataStore = {
    get: (key) => inner.get(key),
    compareAndSet: (...change) => disk.then(() => inner.compareAndSet(...change)),
  };
  const one = await openOn(await engine.open(parameters), memoryMetadataStore(), 1);
  const two = await openOn(await engine.open(parameters), slow, 2);
  expect(await one.compareAndSet("chain", 0, value("a"))).toBe(true);
  let answer: boolean | undefined;
  const asked = two.compareAndSet("chain", 0, value("b")).then((isDone) => (answer = isDone));
  for (let turn = 0; turn < 200; turn++) await Promise.resolve();
  expect(answer).toBeUndefined();
  letGo();
  expect(await asked).toBe(false);
  expect(new TextDecoder().decode(two.known("chain")?.value)).toBe("a");
});
