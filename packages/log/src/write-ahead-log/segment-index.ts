/**
 * Where in one segment the live records of each group lie. Memory only.
 *
 * A suffix may be replaced, so a segment can hold several records of one index, of which the last written is live.
 * A *run* is a stretch of live records with no overwritten one between them: a replaced suffix cuts the runs
 * before it, and what is written in its place begins a new one. Within the frame where a run begins overwritten
 * records of the same indexes may stand before the live ones; behind that frame never (record-collector.ts).
 */
/** One way-point per this many bytes of a run: a read scans at most that much in vain. */
const wayPointEveryBytes = 64 * 1024;

export interface Run {
  readonly firstIndex: number;
  lastIndex: number;
  /** False: cut. What comes next begins a run of its own, even if its index follows. */
  growing: boolean;
  /** Indexes, thinned out, and the frames that hold them; the first pair is where the run begins. */
  readonly wayPointIndexes: number[];
  readonly wayPointPositions: number[];
}

export class SegmentIndex {
  /** Runs of each group, ascending both in indexes and in positions; never an empty list. */
  readonly #runs: Map<number, Run[]> = new Map();

  /** The frame at `position` holds records `first` to `last` of `group`, which go on where its last live one ended. */
  note(group: number, first: number, last: number, position: number): void {
    const runs = this.#runs.get(group);
    const run = runs?.at(-1);
    if (run === undefined || !run.growing) {
      const begun = {
        firstIndex: first,
        lastIndex: last,
        growing: true,
        wayPointIndexes: [first],
        wayPointPositions: [position],
      };
      if (runs === undefined) this.#runs.set(group, [begun]);
      else runs.push(begun);
      return;
    }
    run.lastIndex = last;
    if (position - (run.wayPointPositions.at(-1) ?? 0) >= wayPointEveryBytes) {
      run.wayPointIndexes.push(first);
      run.wayPointPositions.push(position);
    }
  }

  /** Records of `group` from `from` on are overwritten. */
  truncate(group: number, from: number): void {
    const runs = this.#runs.get(group);
    if (runs === undefined) return;
    while ((runs.at(-1)?.firstIndex ?? 0) >= from) runs.pop();
    const run = runs.at(-1);
    if (run === undefined) {
      this.#runs.delete(group);
      return;
    }
    if (run.lastIndex < from) return;
    run.lastIndex = from - 1;
    run.growing = false;
    while ((run.wayPointIndexes.at(-1) ?? 0) >= from) {
      run.wayPointIndexes.pop();
      run.wayPointPositions.pop();
    }
  }

  forget(group: number): void {
    this.#runs.delete(group);
  }

  lastIndex(group: number): number | undefined {
    return this.#runs.get(group)?.at(-1)?.lastIndex;
  }

  /** The run that holds record `index` of `group`. */
  runWith(group: number, index: number): Run | undefined {
    const runs = this.#runs.get(group);
    // The newest first: it is the only one nearly always.
    return runs?.findLast((run) => run.firstIndex <= index && index <= run.lastIndex);
  }

  /** Every run of `group` from `from` on, in order. */
  runsFrom(group: number, from: number): readonly Run[] {
    return this.#runs.get(group)?.filter((run) => run.lastIndex >= from) ?? [];
  }

  /** Groups with a live record here, each with the last one's index. */
  *lastIndexes(): Generator<readonly [number, number]> {
    for (const [group, runs] of this.#runs) yield [group, runs.at(-1)?.lastIndex ?? 0];
  }
}

/** Where `run` begins. */
export function startPosition(run: Run): number {
  return run.wayPointPositions[0] ?? 0;
}

/** The frame from which a scan finds record `index` of `run`. */
export function positionFor(run: Run, index: number): number {
  let low = 0;
  let high = run.wayPointIndexes.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((run.wayPointIndexes[middle] ?? Infinity) <= index) low = middle;
    else high = middle - 1;
  }
  return run.wayPointPositions[low] ?? 0;
}
