/** Interleaved pairs: A B A B …, and what may be said of them afterwards. */

export interface PairSummary {
  readonly ours: Spread;
  readonly theirs: Spread;
  /** Of ours / theirs, pair by pair. */
  readonly ratio: Spread;
}

export interface Spread {
  readonly minimum: number;
  readonly median: number;
  readonly maximum: number;
}

/** Runs both in turn `pairs` times after one uncounted warm-up of each. */
export async function interleaved(
  pairs: number,
  ours: () => Promise<number>,
  theirs: () => Promise<number>,
): Promise<PairSummary> {
  await ours();
  await theirs();
  const left: number[] = [];
  const right: number[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    left.push(await ours());
    right.push(await theirs());
  }
  return {
    ours: spread(left),
    theirs: spread(right),
    ratio: spread(left.map((value, pair) => value / (right[pair] ?? Number.NaN))),
  };
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  const lower = sorted.length % 2 === 0 ? (sorted[middle - 1] ?? Number.NaN) : upper;
  return { minimum: sorted[0] ?? Number.NaN, median: (lower + upper) / 2, maximum: sorted.at(-1) ?? Number.NaN };
}
