/**
 * How the log goes on above the state in the store, in the words of the log itself: written in one batch with each state
 * that goes there. So whoever has the store can serve it as a snapshot, without a quorum and before the log is replayed;
 * and a start can tell the log how far the cell had come for sure.
 *
 * Layout: u32 little-endian, the member whose log said so; then its words.
 */
import type { ChangeSink } from "@quipu/counters";
import { type KeyValueStore, QuipuError } from "@quipu/core";

/** Above every key of the state. */
const logStartKey: Uint8Array = Uint8Array.of(0xff, ...new TextEncoder().encode("logStart"));

const headBytes = 4;

export interface StoredLogStart {
  /** A node whose log was lost is another member, with a new log, beside the same store. */
  readonly member: number;
  readonly words: Uint8Array;
}

/** `words` undefined: the log has none for this state. */
export function putLogStart(batch: ChangeSink, member: number, words: Uint8Array | undefined): void {
  if (words === undefined) {
    batch.delete(logStartKey);
    return;
  }
  const value = new Uint8Array(headBytes + words.length);
  new DataView(value.buffer).setUint32(0, member, true);
  value.set(words, headBytes);
  batch.put(logStartKey, value);
}

export async function loadLogStart(store: Pick<KeyValueStore, "get">): Promise<StoredLogStart | undefined> {
  const value = await store.get(logStartKey);
  if (value === undefined) return undefined;
  if (value.length < headBytes) throw new QuipuError("STORE_CORRUPT", "the store's log start is too short");
  const member = new DataView(value.buffer, value.byteOffset, value.byteLength).getUint32(0, true);
  return { member, words: value.slice(headBytes) };
}
