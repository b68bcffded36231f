/**
 * Ballots: one number whose order is the order of ballots, made of a round, the priority of its proposer, and the
 * ordinal of its proposer among the voters. Two proposers never have a ballot in common: an acceptor that has promised
 * one need not ask whose it was.
 */
import { invariant } from "@quipu/core";
import { type MemberId, type Term, term } from "../quantities.ts";

/** As many voters as ordinals: no group may have more members (`membersMax`). */
export const ordinalsMax = 32;
/** Priorities are 0 .. 7. */
export const prioritiesMax = 8;
const ballotsPerRound = ordinalsMax * prioritiesMax;

/** Before the first. */
export const noBallot: Term = term(0);

/** Of a real ballot from 1; a member that was just started stands in round 0, below all of them. */
export function roundOf(ballot: Term): number {
  return Math.floor(ballot / ballotsPerRound);
}

export function ballotOf(round: number, priority: number, ordinal: number): Term {
  const fits = priority >= 0 && priority < prioritiesMax && ordinal >= 0 && ordinal < ordinalsMax;
  invariant(fits, `no ballot: priority ${priority}, ordinal ${ordinal}`);
  return term(round * ballotsPerRound + priority * ordinalsMax + ordinal);
}

/** Whose ballot it is: an ordinal among the voters, ascending, which are the same for the whole life of the group. */
export function proposerOf(ballot: Term, voters: readonly MemberId[]): MemberId | undefined {
  return voters[ballot % ordinalsMax];
}

/**
 * By how much a ballot may be above the own: more elections than a member could miss in a lifetime. One damaged message
 * must not bring ballots to their end.
 */
export const ballotLeapMax: number = 2 ** 32 * ballotsPerRound;
