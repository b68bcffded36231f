/** Which faults were met in which states: a fault that never strikes while checkpointing proves nothing there. */

/** What the process was doing. */
export type ProcessState = "down" | "starting" | "serving" | "checkpointing" | "stopping" | "healing";

export class Coverage {
  readonly #counts = new Map<string, number>();

  count(fault: string, state: ProcessState): void {
    const key = `${fault}\t${state}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  merge(other: Coverage): void {
    for (const [key, count] of other.#counts) this.#counts.set(key, (this.#counts.get(key) ?? 0) + count);
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  get(fault: string, state: ProcessState): number {
    return this.#counts.get(`${fault}\t${state}`) ?? 0;
  }

  /** Fault names, sorted. */
  faults(): readonly string[] {
    return [...new Set([...this.#counts.keys()].map((key) => key.split("\t")[0] as string))].sort();
  }

  /** A table with a line per fault and a column per state. */
  table(): string {
    const states: readonly ProcessState[] = ["down", "starting", "serving", "checkpointing", "stopping", "healing"];
    const rows = [
      ["fault", ...states],
      ...this.faults().map((fault) => [fault, ...states.map((state) => `${this.get(fault, state)}`)]),
    ];
    const width = (column: number): number => Math.max(...rows.map((row) => (row[column] as string).length));
    return rows
      .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(width(0)) : cell.padStart(width(i) + 2))).join(""))
      .join("\n");
  }
}
