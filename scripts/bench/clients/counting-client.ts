/** What a load needs of a client, whatever store stands behind it. */

export interface CountingClient {
  /**
   * Adds one. Resolves once the store acknowledged it. Throws UnknownOutcome if it may have been applied all the same;
   * any other error means that it surely was not.
   */
  increment(key: string): Promise<unknown>;
  /** The values as they are now; an absent counter is 0. */
  read(keys: readonly string[]): Promise<readonly bigint[]>;
  close(): Promise<unknown>;
}

export class UnknownOutcome extends Error {
  constructor(cause: unknown) {
    super("the increment may have been applied", { cause });
  }
}

/** Runs what changes the store; whatever it throws leaves the outcome open. */
export async function changing<Result>(change: () => Promise<Result>): Promise<Result> {
  try {
    return await change();
  } catch (error) {
    throw new UnknownOutcome(error);
  }
}
