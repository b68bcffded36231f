/** Which faults were met in which states: a fault that never strikes while checkpointing proves nothing there. */

/** What the process was doing. */
export type ProcessState = "down" | "starting" | "serving" | "checkpointing" | "stopping" | "healing";

export class CoverageTable<State extends string> {
  readonly #states: readonly State[];
  readonly #counts = new Map<string, number>();

  /** The columns of the table, in this order. */
  constructor(states: readonly State[]) {
    this.#states = states;
  }

  count(fault: string, state: State): void {
    const key = `${fault}\t${state}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  merge(other: CoverageTable<State>): void {
    for (const [key, count] of other.#counts) this.#counts.set(key, (this.#counts.get(key) ?? 0) + count);
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  get(fault: string, state: State): number {
    return this.#counts.get(`${fault}\t${state}`) ?? 0;
  }

  /** Fault names, sorted. */
  faults(): readonly string[] {
    return [...new Set([...this.#counts.keys()].map((key) => key.split("\t")[0] as string))].sort();
  }

  /** A table with a line per fault and a column per state. */
  table(): string {
    const rows = [
      ["fault", ...this.#states],
      ...this.faults().map((fault) => [fault, ...this.#states.map((state) => `${this.get(fault, state)}`)]),
    ];
    const width = (column: number): number => Math.max(...rows.map((row) => (row[column] as string).length));
    return rows
      .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(width(0)) : cell.padStart(width(i) + 2))).join(""))
      .join("\n");
  }
}

/** Of a single node. */
export class Coverage extends CoverageTable<ProcessState> {
  constructor() {
    super(["down", "starting", "serving", "checkpointing", "stopping", "healing"]);
  }
}
