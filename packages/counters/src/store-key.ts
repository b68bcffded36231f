/** Keys of the state store: prefix byte, slot (u16, big-endian), database, key; so the order is slot, database, key. */

/** First byte of a store key, and the kind of its content hash. */
export const storePrefix = {
  counter: 0x63, // c
  idempotency: 0x69, // i
  meta: 0x6d, // m
  removal: 0x72, // r
  session: 0x73, // s
  writer: 0x77, // w
} as const;

/** Bytes before the key proper. */
export const storeKeyHeadBytes = 4;

/** A store key with room for `keyLength` bytes behind its head. */
export function makeStoreKey(prefix: number, slot: number, database: number, keyLength: number): Uint8Array {
  const key = new Uint8Array(storeKeyHeadBytes + keyLength);
  key[0] = prefix;
  key[1] = slot >>> 8;
  key[2] = slot & 0xff;
  key[3] = database;
  return key;
}

/** The slot in a store key. */
export function storeKeySlot(key: Uint8Array): number {
  return ((key[1] as number) << 8) | (key[2] as number);
}

/** Negative, zero or positive: order of unsigned bytes. */
export function compareBytes(left: Uint8Array, right: Uint8Array): number {
  const common = Math.min(left.length, right.length);
  for (let at = 0; at < common; at++) {
    const difference = (left[at] as number) - (right[at] as number);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}
