/**
 * When something that a process wanted on its disk can be there at the earliest. The simulator counts syncs of the
 * log's files; what was first seen after the n-th began needs a later one to be over. So it knows by itself that
 * something is not durable yet, whatever the code under test says.
 */

/** Part of the name of files that are still being prepared: their syncs make nothing of the log durable. */
const preparedFile = "unfinished";

export class DurableTime {
  #begun = 0;
  #done = 0;

  /** For `SimulatedDiskOptions.onSync`. */
  onSync(path: string): (() => void) | undefined {
    if (path.includes(preparedFile)) return undefined;
    const number = ++this.#begun;
    return () => {
      this.#done = Math.max(this.#done, number);
    };
  }

  /** Syncs that have begun: what is seen now is not in them. */
  get now(): number {
    return this.#begun;
  }

  /** The last sync that is over. */
  get done(): number {
    return this.#done;
  }
}
