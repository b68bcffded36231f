/** How far the state in a store reaches, as a crash right now would leave it: read past the code under test. */
import { ByteReader } from "@quipu/core";
import type { SimulatedKeyValueStore } from "../key-value-store.ts";

/** The meta entry of the state store: prefix "m", slot 0, database 0. Its value: format, position, … */
const metaKey = Uint8Array.of(0x6d, 0, 0, 0);

/** 0: no state is durable there. */
export function durablePosition(store: SimulatedKeyValueStore): number {
  const value = store.durable(metaKey);
  if (value === undefined) return 0;
  const reader = new ByteReader();
  reader.reset(value, 0, value.length);
  reader.u8();
  return reader.varint();
}
