/** Branded quantities of consensus, and who takes part. */
import { type Brand, invariant } from "@quipu/core";

/** A participant, unique in its cell for ever: a disk that was lost comes back under another id. 1 .. 2^32 - 1. */
export type MemberId = Brand<number, "MemberId">;

/** A leader's reign (Raft §5.1), from 1; 0 = before the first. */
export type Term = Brand<number, "Term">;

/** Place in a group's log, from 1, dense; 0 = before the first. */
export type LogIndex = Brand<number, "LogIndex">;

export function memberId(value: number): MemberId {
  invariant(Number.isInteger(value) && value >= 1 && value <= 0xffff_ffff, `not a member id: ${value}`);
  return value as MemberId;
}

export function term(value: number): Term {
  invariant(Number.isSafeInteger(value) && value >= 0, `not a term: ${value}`);
  return value as Term;
}

export function logIndex(value: number): LogIndex {
  invariant(Number.isSafeInteger(value) && value >= 0, `not a log index: ${value}`);
  return value as LogIndex;
}

/** A node keeps its number (1 .. 1023) over disk losses; each new disk takes a new generation, the first is 0. */
const nodeBits = 10;
export const nodeNumberMax: number = (1 << nodeBits) - 1;
export const generationMax: number = 2 ** (32 - nodeBits) - 1;

export function memberOf(node: number, generation: number): MemberId {
  invariant(Number.isInteger(node) && node >= 1 && node <= nodeNumberMax, `not a node number: ${node}`);
  invariant(Number.isInteger(generation) && generation >= 0 && generation <= generationMax, `generation ${generation}`);
  return memberId(generation * (nodeNumberMax + 1) + node);
}

/** The node that a member runs on. */
export function nodeOf(member: MemberId): number {
  return member % (nodeNumberMax + 1);
}

/**
 * Who votes, who only listens. All lists ascending and without repeats. While `outgoing` is not empty the configuration
 * is joint (Raft §6): every decision needs a majority of `voters` and a majority of `outgoing`.
 */
export interface Configuration {
  readonly voters: readonly MemberId[];
  /** Voters of the old configuration while joint; else empty. */
  readonly outgoing: readonly MemberId[];
  /** Get the log, have no vote; disjoint from voters and outgoing. */
  readonly learners: readonly MemberId[];
  /** Of `outgoing`, those that become learners when the joint configuration is left. */
  readonly learnersNext: readonly MemberId[];
}
