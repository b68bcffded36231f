/**
 * Flexible quorums (Howard, Malkhi and Spiegelman 2016): every phase-1 quorum must meet every phase-2 quorum, no more.
 */
import { invariant } from "@quipu/core";
import type { MemberId } from "../quantities.ts";
import type { MultiPaxosSettings } from "./settings.ts";

export interface Quorums {
  readonly phase1: number;
  readonly phase2: number;
}

export function quorumsOf(voters: readonly MemberId[], settings: MultiPaxosSettings): Quorums {
  const size = voters.length;
  const majority = Math.floor(size / 2) + 1;
  const phase1 = settings.phase1Quorum === 0 ? majority : settings.phase1Quorum;
  const phase2 = settings.phase2Quorum === 0 ? majority : settings.phase2Quorum;
  if (size === 0) return { phase1, phase2 };
  invariant(
    phase1 <= size && phase2 <= size && phase1 + phase2 > size,
    `quorums of ${phase1} and ${phase2} among ${size} voters need not meet`,
  );
  return { phase1, phase2 };
}
