/** A heap of operations: the one with the earliest deadline first. */
import { deadlineOf, type HistoryOperation } from "./history.ts";

export class EarliestFirst {
  readonly #heap: HistoryOperation[] = [];

  push(operation: HistoryOperation): void {
    const heap = this.#heap;
    let hole = heap.length;
    heap.push(operation);
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      const above = heap[parent] as HistoryOperation;
      if (deadlineOf(above) <= deadlineOf(operation)) break;
      heap[hole] = above;
      hole = parent;
    }
    heap[hole] = operation;
  }

  pop(): HistoryOperation | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#deadline(child + 1) < this.#deadline(child)) child += 1;
      if (deadlineOf(last) <= this.#deadline(child)) break;
      heap[hole] = heap[child] as HistoryOperation;
      hole = child;
    }
    heap[hole] = last;
    return first;
  }

  #deadline(index: number): number {
    return deadlineOf(this.#heap[index] as HistoryOperation);
  }
}
