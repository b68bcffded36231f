/** What every core reckons with: sizes of entries, places in the log. */
import type { Entry } from "./contract.ts";
import type { LogIndex } from "./quantities.ts";

/** What an entry costs beside its record: the object in memory, its header on the wire and on disk, roughly. */
export const entryOverheadBytes = 32;

export function entryBytes(entry: Entry): number {
  return entry.kind === "record" ? entry.data.length + entryOverheadBytes : entryOverheadBytes;
}

/** `index` moved by `count` places. */
export function moved(index: LogIndex, count: number): LogIndex {
  return (index + count) as LogIndex;
}

export function lower(a: LogIndex, b: LogIndex): LogIndex {
  return a < b ? a : b;
}

export function higher(a: LogIndex, b: LogIndex): LogIndex {
  return a > b ? a : b;
}
