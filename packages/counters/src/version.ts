/** Versions of keys, present or not, as positions and as text. */
import type { Lsn } from "@quipu/core";
import { keySlot } from "@quipu/routing";
import type { Database, Position } from "./operations.ts";
import type { State } from "./state.ts";

/** Of a live key the position of its last change; of an absent one its slot's last removal, 0-0 if none. */
export function versionOf(state: State, database: Database, key: Uint8Array): Position {
  const id = state.counters.find(database, key);
  if (id < 0) return state.counters.removals.get(keySlot(key));
  return { lsn: state.counters.versionLsn(id) as Lsn, index: state.counters.versionIndex(id) };
}

export function samePosition(left: Position, right: Position): boolean {
  return left.lsn === right.lsn && left.index === right.index;
}

/** `lsn-index`. */
export function positionText(lsn: number, index: number): string {
  return `${lsn}-${index}`;
}
