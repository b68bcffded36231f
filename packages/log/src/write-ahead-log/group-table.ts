/** What the log knows of each group, and where in which segment its records lie. Memory only. */
import { invariant } from "@quipu/core";

export interface GroupState {
  /** First index still needed; records below it may be gone. */
  firstIndex: number;
  /** Next index to become durable; firstIndex <= nextIndex. */
  nextIndex: number;
  hardState: Uint8Array | undefined;
}

/** One way-point of a group in a segment per this many bytes: a read scans at most that much in vain. */
const wayPointEveryBytes = 64 * 1024;

/** Records of one group in one segment: where the first frame is that holds an index, thinned out. */
interface GroupSpan {
  lastIndex: number;
  readonly wayPointIndexes: number[];
  readonly wayPointPositions: number[];
}

export class SegmentIndex {
  readonly #spans: Map<number, GroupSpan> = new Map();

  /** The frame at `position` holds record `index` of `group`. */
  note(group: number, index: number, position: number): void {
    const span = this.#spans.get(group);
    if (span === undefined) {
      this.#spans.set(group, { lastIndex: index, wayPointIndexes: [index], wayPointPositions: [position] });
      return;
    }
    span.lastIndex = index;
    if (position - (span.wayPointPositions.at(-1) ?? 0) >= wayPointEveryBytes) {
      span.wayPointIndexes.push(index);
      span.wayPointPositions.push(position);
    }
  }

  forget(group: number): void {
    this.#spans.delete(group);
  }

  lastIndex(group: number): number | undefined {
    return this.#spans.get(group)?.lastIndex;
  }

  /** Where to begin scanning for `index`; undefined if the segment does not hold it. */
  positionFor(group: number, index: number): number | undefined {
    const span = this.#spans.get(group);
    const first = span?.wayPointIndexes[0];
    if (span === undefined || first === undefined || index < first || index > span.lastIndex) return undefined;
    let low = 0;
    let high = span.wayPointIndexes.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((span.wayPointIndexes[middle] ?? Infinity) <= index) low = middle;
      else high = middle - 1;
    }
    return span.wayPointPositions[low];
  }

  /** Groups that still need something in this segment. */
  neededBy(groups: ReadonlyMap<number, GroupState>): readonly number[] {
    const needing: number[] = [];
    for (const [group, span] of this.#spans) {
      const state = groups.get(group);
      if (state !== undefined && span.lastIndex >= state.firstIndex) needing.push(group);
    }
    return needing;
  }
}

export class GroupTable {
  readonly groups: Map<number, GroupState> = new Map();

  ensure(group: number): GroupState {
    let state = this.groups.get(group);
    if (state === undefined) {
      state = { firstIndex: 1, nextIndex: 1, hardState: undefined };
      this.groups.set(group, state);
    }
    return state;
  }

  /** Record `index` of `group` became durable. */
  advance(group: number, index: number): void {
    const state = this.ensure(group);
    invariant(index === state.nextIndex, `group ${group}: record ${index} where ${state.nextIndex} is next`);
    state.nextIndex = index + 1;
  }
}
