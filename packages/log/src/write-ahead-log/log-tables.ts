/**
 * What the log knows of each group, and which segments hold its records. Memory only. A commit and a recovery
 * tell it the same things in the same order, so that what a start rebuilds is what was there.
 */
import { invariant } from "@quipu/core";
import type { Segment } from "./segment.ts";

export interface GroupState {
  /** First index still needed; records below it may be gone. */
  firstIndex: number;
  /** Next index to become durable; firstIndex <= nextIndex. */
  nextIndex: number;
  hardState: Uint8Array | undefined;
  /** How often records were overwritten or the log begun anew: whoever read meanwhile reads again. */
  replacements: number;
}

export class LogTables {
  readonly groups: Map<number, GroupState> = new Map();
  /** Oldest first; the last one is the active one. */
  readonly segments: Segment[] = [];

  ensure(group: number): GroupState {
    let state = this.groups.get(group);
    if (state === undefined) {
      state = { firstIndex: 1, nextIndex: 1, hardState: undefined, replacements: 0 };
      this.groups.set(group, state);
    }
    return state;
  }

  /** The frame at `position` of `segment` holds records `first` to `last` of `group`. */
  append(group: number, first: number, last: number, segment: Segment, position: number): void {
    const state = this.ensure(group);
    invariant(first === state.nextIndex, `group ${group}: record ${first} where ${state.nextIndex} is next`);
    state.nextIndex = last + 1;
    segment.index.note(group, first, last, position);
  }

  saveHardState(group: number, hardState: Uint8Array): void {
    this.ensure(group).hardState = hardState.slice();
  }

  /** `index` is the first one needed. Trims may come in any order: a lower one behind a higher changes nothing. */
  trim(group: number, index: number): void {
    const state = this.ensure(group);
    invariant(index <= state.nextIndex, `group ${group}: trimmed to ${index}, and ${state.nextIndex} is next`);
    state.firstIndex = Math.max(state.firstIndex, index);
  }

  /** Records from `from` on are gone, wherever they lie. */
  truncate(group: number, from: number): void {
    const state = this.ensure(group);
    const { firstIndex, nextIndex } = state;
    invariant(
      from >= firstIndex && from <= nextIndex,
      `group ${group}: cut at ${from}, not in ${firstIndex}..${nextIndex}`,
    );
    if (from === nextIndex) return;
    state.nextIndex = from;
    state.replacements++;
    for (const segment of this.segments) segment.index.truncate(group, from);
  }

  /** Every record of the group is gone; the next one is `index`. */
  restart(group: number, index: number): void {
    const state = this.ensure(group);
    state.firstIndex = index;
    state.nextIndex = index;
    state.replacements++;
    for (const segment of this.segments) segment.index.forget(group);
  }

  remove(group: number): void {
    this.groups.delete(group);
    for (const segment of this.segments) segment.index.forget(group);
  }

  /** Groups that still need a record in `segment`, ascending. */
  neededBy(segment: Segment): readonly number[] {
    const needing: number[] = [];
    for (const [group, lastIndex] of segment.index.lastIndexes()) {
      const state = this.groups.get(group);
      if (state !== undefined && lastIndex >= state.firstIndex) needing.push(group);
    }
    return needing.sort((left, right) => left - right);
  }

  /** Bytes from the oldest segment with a record that `group` needs to the newest one: kept if only for its sake. */
  pinnedBytes(group: number): number {
    const firstIndex = this.groups.get(group)?.firstIndex;
    if (firstIndex === undefined) return 0;
    const oldest = this.segments.findIndex((segment) => (segment.index.lastIndex(group) ?? -1) >= firstIndex);
    return oldest < 0 ? 0 : this.segments.slice(oldest).reduce((sum, segment) => sum + segment.sizeBytes, 0);
  }
}
