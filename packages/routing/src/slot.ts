/**
 * Hash slots: which of the 16,384 parts of the key space a key lives in.
 *
 * Exactly Redis Cluster's mapping (Redis Cluster specification, "Key distribution model" and "Hash tags"), so that
 * cluster-aware Redis clients compute the same slot as we do, and `{hash tags}` keep related keys in one record.
 */
import { type Brand, invariant } from "@quipu/core";

/** A hash slot, 0 to {@link slotCount} - 1. */
export type Slot = Brand<number, "Slot">;

/** 2^14, fixed by Redis Cluster: its clients hold tables of this size. */
export const slotCount = 16_384;

/** The one checking constructor of {@link Slot}. */
export function slot(value: number): Slot {
  invariant(Number.isInteger(value) && value >= 0 && value < slotCount, `not a hash slot: ${value}`);
  return value as Slot;
}

const openBrace = 0x7b;
const closeBrace = 0x7d;

/** CRC of every single byte: polynomial x^16 + x^12 + x^5 + 1, most significant bit first. */
const crcOfByte: Uint16Array = /* @__PURE__ */ makeTable();

function makeTable(): Uint16Array {
  const table = new Uint16Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    table[byte] = crc;
  }
  return table;
}

/**
 * CRC-16/XMODEM of `bytes[start, end)`: initial value 0, nothing reflected, nothing inverted.
 * The check value of "123456789" is 0x31C3.
 */
export function crc16(bytes: Uint8Array, start: number = 0, end: number = bytes.length): number {
  let crc = 0;
  for (let at = start; at < end; at++) {
    crc = ((crc << 8) & 0xffff) ^ (crcOfByte[(crc >>> 8) ^ (bytes[at] as number)] as number);
  }
  return crc;
}

/**
 * The slot of the key `bytes[start, end)`; allocates nothing, so that a key can be routed where it lies in a buffer.
 *
 * Where the key has a `{`, and a `}` after it, and something between the first `{` and the first `}` that follows it,
 * only what lies between them counts. Hence `{a}b` and `{a}c` share a slot, and `{}` protects nothing.
 */
export function keySlot(key: Uint8Array, start: number = 0, end: number = key.length): Slot {
  for (let open = start; open < end; open++) {
    if (key[open] !== openBrace) continue;
    for (let close = open + 1; close < end; close++) {
      if (key[close] !== closeBrace) continue;
      // An empty tag ends the search: later braces are not looked at (`foo{}{bar}` counts whole).
      return ((close === open + 1 ? crc16(key, start, end) : crc16(key, open + 1, close)) % slotCount) as Slot;
    }
    break; // Never closed: the whole key counts.
  }
  return (crc16(key, start, end) % slotCount) as Slot;
}
