/**
 * Stored seeds: one line each, `seed name {settings}`, of runs that find a bug or cover something by name. Settings fix
 * part of the swarm configuration, as JSON; they may be left out.
 */
import { invariant } from "@quipu/core";
import type { SwarmConfiguration } from "./swarm.ts";

/** Of a single node, or of a cell. */
export interface StoredSeed<Swarm = SwarmConfiguration> {
  readonly seed: number;
  readonly name: string;
  readonly swarm: Partial<Swarm>;
}

/** Lines that are empty or begin with # are comments. */
export function parseStoredSeeds<Swarm = SwarmConfiguration>(text: string): readonly StoredSeed<Swarm>[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [, digits = "", name = "", settings = "{}"] = /^(\d+)\s+([^{]+?)\s*(\{.*\})?$/.exec(line) ?? [];
      const seed = Number(digits);
      invariant(Number.isSafeInteger(seed) && name !== "", `not a stored seed: ${line}`);
      return { seed, name, swarm: JSON.parse(settings) as Partial<Swarm> };
    });
}
