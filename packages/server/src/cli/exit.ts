/** Exit codes, which scripts may rely on: 0 all is well, 1 it failed (or something differs), 2 wrong usage. */
import { QuipuError } from "@quipu/core";

export const exitFailure = 1;
export const exitUsage = 2;

export function exitCodeOf(error: unknown): number {
  const isUsage =
    error instanceof QuipuError && (error.code === "INVALID_CONFIGURATION" || error.code === "PUBLIC_BIND_REFUSED");
  return isUsage ? exitUsage : exitFailure;
}

/** One line for people; what is no expected failure shows where it came from. */
export function describeError(error: unknown): string {
  if (error instanceof QuipuError) return `quipu: ${error.message} [${error.code}]`;
  return `quipu: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}
