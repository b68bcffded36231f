/** What has been opened, to be closed in the opposite order, whether all went well or not. */

interface Closer {
  readonly name: string;
  close(): Promise<void> | void;
}

export class Closers {
  readonly #closers: Closer[] = [];

  add(name: string, close: () => Promise<void> | void): void {
    this.#closers.push({ name, close });
  }

  /** Closes everything, last opened first. One that fails does not keep the others open; its error is thrown at the end. */
  async closeAll(): Promise<void> {
    const failures: unknown[] = [];
    for (let closer = this.#closers.pop(); closer !== undefined; closer = this.#closers.pop()) {
      try {
        await closer.close();
      } catch (error) {
        failures.push(new Error(`cannot close ${closer.name}`, { cause: error }));
      }
    }
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, "several parts could not be closed");
  }
}
