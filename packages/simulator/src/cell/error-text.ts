/** Errors of nodes under test, for traces and verdicts. */
import { SimulationFailure } from "../failure.ts";

/** The first cause that says what happened. */
export function rootOf(error: unknown): unknown {
  let cause = error;
  while (cause instanceof Error && !(cause instanceof SimulationFailure) && cause.cause instanceof Error)
    cause = cause.cause;
  return cause;
}

export function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
