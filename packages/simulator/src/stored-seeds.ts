/** Stored seeds: one line each, `seed name`, of runs that once found a bug or that cover something by name. */
import { invariant } from "@quipu/core";

export interface StoredSeed {
  readonly seed: number;
  readonly name: string;
}

/** Lines that are empty or begin with # are comments. */
export function parseStoredSeeds(text: string): readonly StoredSeed[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [digits = "", ...words] = line.split(/\s+/);
      const seed = Number(digits);
      invariant(Number.isSafeInteger(seed) && words.length > 0, `not a stored seed: ${line}`);
      return { seed, name: words.join(" ") };
    });
}
