/** One call under way serves everyone who asked before it began; who asks later waits for the next one. */
export class SharedCall<Result> {
  readonly #make: () => Promise<Result>;
  #running: Promise<Result> | undefined;
  #next: Promise<Result> | undefined;

  constructor(make: () => Promise<Result>) {
    this.#make = make;
  }

  /** The result of a call that begins now or later, never of one that has begun. */
  call(): Promise<Result> {
    if (this.#running === undefined) return this.#start();
    const start = (): Promise<Result> => {
      this.#next = undefined;
      return this.#start();
    };
    this.#next ??= this.#running.then(start, start);
    return this.#next;
  }

  #start(): Promise<Result> {
    this.#running = this.#make().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }
}
