/** Where the parts of a timeline stand: which operations are drawn, in which lane, from where to where. */
import { deadlineOf, type HistoryOperation } from "./history.ts";

export interface Bar {
  readonly operation: HistoryOperation;
  readonly label: string;
  /** Row from the top, over all lanes. */
  readonly row: number;
  readonly left: number;
  /** The right edge of the drawing where the outcome is unknown. */
  readonly right: number;
}

export interface Lane {
  readonly process: number;
  readonly firstRow: number;
  readonly rows: number;
}

export interface Layout {
  readonly bars: readonly Bar[];
  readonly lanes: readonly Lane[];
  readonly rows: number;
  readonly right: number;
  /** Where a time stands, by the last event at it or before. */
  readonly xOf: (time: number) => number;
  /** A tick for some of the times, not too close. */
  readonly ticks: readonly { readonly x: number; readonly time: number }[];
}

export interface LayoutOptions {
  readonly labelOf: (operation: HistoryOperation) => string;
  readonly left: number;
}

/** Of the label's font, so that labels fit their bars. Generous: fonts differ. */
const characterWidth = 6.7;
const labelPadding = 16;
const eventGap = 10;
const tickGap = 70;

/** The drawn ones of a history too long to draw: `must`, and what is nearest to it in time. */
export function nearest(
  history: readonly HistoryOperation[],
  must: readonly HistoryOperation[],
  operationsMax: number,
): readonly HistoryOperation[] {
  if (history.length <= operationsMax) return history;
  const from = must.reduce((least, { invokedAt }) => Math.min(least, invokedAt), Number.POSITIVE_INFINITY);
  const to = must.reduce((most, { invokedAt, returnedAt }) => Math.max(most, returnedAt ?? invokedAt), from);
  const wanted = new Set(must);
  const distance = (operation: HistoryOperation): number =>
    wanted.has(operation) ? -1 : Math.max(0, operation.invokedAt - to, from - deadlineOf(operation));
  const chosen = new Set(history.toSorted((a, b) => distance(a) - distance(b)).slice(0, operationsMax));
  return history.filter((operation) => chosen.has(operation));
}

export function layOut(operations: readonly HistoryOperation[], options: LayoutOptions): Layout {
  const columns = new Columns(operations, options);
  const lanes: Lane[] = [];
  const bars: Bar[] = [];
  let rows = 0;
  const processes = [...new Set(operations.map(({ process }) => process))].toSorted((a, b) => a - b);
  for (const process of processes) {
    const firstRow = rows;
    /** For each row of the lane, where its last bar ends. A pipelining client needs several. */
    const ends: number[] = [];
    const own = operations.filter((operation) => operation.process === process);
    for (const operation of own.toSorted((a, b) => a.invokedAt - b.invokedAt)) {
      const label = options.labelOf(operation);
      const left = columns.invocation(operation);
      const right = operation.returnedAt === undefined ? columns.right : columns.return(operation);
      const free = ends.findIndex((end) => end <= left);
      const row = free < 0 ? ends.length : free;
      ends[row] = right;
      bars.push({ operation, label, row: firstRow + row, left, right });
    }
    rows += ends.length;
    lanes.push({ process, firstRow, rows: ends.length });
  }
  return { bars, lanes, rows, right: columns.right, xOf: (time) => columns.at(time), ticks: columns.ticks() };
}

/**
 * Events stand in order, not to scale: each as far to the right as the labels of what ends there need. Invocations
 * stand before returns of the same time, because such operations are concurrent.
 */
class Columns {
  readonly #times: readonly number[];
  readonly #invocationX: number[] = [];
  readonly #returnX: number[] = [];
  readonly right: number;

  constructor(operations: readonly HistoryOperation[], { labelOf, left }: LayoutOptions) {
    const times = operations.flatMap(({ invokedAt, returnedAt }) => [invokedAt, returnedAt ?? invokedAt]);
    this.#times = [...new Set(times)].toSorted((a, b) => a - b);
    const ending = new Map<number, HistoryOperation[]>();
    for (const operation of operations) {
      const deadline = deadlineOf(operation);
      ending.set(deadline, [...(ending.get(deadline) ?? []), operation]);
    }
    const width = (operation: HistoryOperation): number =>
      Math.ceil(labelOf(operation).length * characterWidth) + labelPadding;
    let x = left;
    for (const time of this.#times) {
      this.#invocationX.push(x);
      const ends = ending.get(time) ?? [];
      if (ends.length > 0) x += eventGap;
      for (const operation of ends) x = Math.max(x, this.invocation(operation) + width(operation));
      this.#returnX.push(x);
      x += eventGap;
    }
    for (const operation of ending.get(Number.POSITIVE_INFINITY) ?? []) {
      x = Math.max(x, this.invocation(operation) + width(operation) + labelPadding);
    }
    this.right = x;
  }

  invocation({ invokedAt }: HistoryOperation): number {
    return this.#invocationX[this.#index(invokedAt)] as number;
  }

  return(operation: HistoryOperation): number {
    return this.#returnX[this.#index(deadlineOf(operation))] as number;
  }

  at(time: number): number {
    const index = this.#index(time);
    return (this.#returnX[index] ?? this.#invocationX[0] ?? 0) as number;
  }

  ticks(): readonly { readonly x: number; readonly time: number }[] {
    const ticks: { x: number; time: number }[] = [];
    for (const [i, time] of this.#times.entries()) {
      const x = this.#invocationX[i] as number;
      if (x - (ticks.at(-1)?.x ?? Number.NEGATIVE_INFINITY) >= tickGap) ticks.push({ x, time });
    }
    return ticks;
  }

  /** Of the last event time that is not after `time`; -1 before all. */
  #index(time: number): number {
    let [low, high] = [-1, this.#times.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.#times[middle] as number) <= time) low = middle;
      else high = middle;
    }
    return low;
  }
}
