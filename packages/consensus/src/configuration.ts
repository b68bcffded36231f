/**
 * Steps from one configuration to the next (Raft §6): whoever changes voters goes through a joint configuration, so
 * that a quorum before a step and a quorum after it always have a member in common.
 */
import { invariant } from "@quipu/core";
import type { Configuration, MemberId } from "./quantities.ts";

/**
 * Voters, outgoing voters and learners of one group together. More than seven voters gain nothing, each further member
 * costs the leader a message per append; twice 7 while joint leave room for as many learners and to spare.
 */
export const membersMax = 32;

/** Knows no cell: has no quorum, votes for nobody's sake. */
export const emptyConfiguration: Configuration = freeze({ voters: [], outgoing: [], learners: [], learnersNext: [] });

/** Of a new group. Voters at least one, learners none of them. */
export function foundingConfiguration(voters: readonly MemberId[], learners: readonly MemberId[] = []): Configuration {
  const configuration = enterChange(emptyConfiguration, voters, learners);
  invariant(configuration !== undefined, `cannot be founded: voters ${voters.join()}; learners ${learners.join()}`);
  return leaveJoint(configuration);
}

export function isJoint(configuration: Configuration): boolean {
  return configuration.outgoing.length > 0;
}

/** Has a vote in any decision, be it only while the joint configuration lasts. */
export function isVoter(configuration: Configuration, member: MemberId): boolean {
  return configuration.voters.includes(member) || configuration.outgoing.includes(member);
}

export function isLearner(configuration: Configuration, member: MemberId): boolean {
  return configuration.learners.includes(member);
}

/** Everybody who gets the log. */
export function membersOf(configuration: Configuration): readonly MemberId[] {
  return ascending([...new Set([...configuration.voters, ...configuration.outgoing, ...configuration.learners])]);
}

/**
 * The first step to these voters and learners: a joint configuration if the voters differ, else the target itself.
 * Undefined if there is no such step: no voters, somebody named twice, a change under way, nothing to change, or more
 * than {@link membersMax}.
 */
export function enterChange(
  configuration: Configuration,
  voters: readonly MemberId[],
  learners: readonly MemberId[],
): Configuration | undefined {
  const namedTwice = new Set([...voters, ...learners]).size < voters.length + learners.length;
  if (voters.length === 0 || namedTwice || isJoint(configuration)) {
    return undefined;
  }
  const outgoing = sameMembers(configuration.voters, ascending(voters)) ? [] : configuration.voters;
  const next = freeze({
    voters: ascending(voters),
    outgoing,
    // Who still votes in the outgoing majority is no learner yet.
    learners: ascending(learners.filter((member) => !outgoing.includes(member))),
    learnersNext: ascending(learners.filter((member) => outgoing.includes(member))),
  });
  return sameConfiguration(configuration, next) || membersOf(next).length > membersMax ? undefined : next;
}

/** The second step: the outgoing majority is asked no more. Of a configuration that is not joint: itself. */
export function leaveJoint(configuration: Configuration): Configuration {
  if (!isJoint(configuration)) {
    return configuration;
  }
  const learners = ascending([...configuration.learners, ...configuration.learnersNext]);
  return freeze({ voters: configuration.voters, outgoing: [], learners, learnersNext: [] });
}

export function sameConfiguration(a: Configuration, b: Configuration): boolean {
  return (
    sameMembers(a.voters, b.voters) &&
    sameMembers(a.outgoing, b.outgoing) &&
    sameMembers(a.learners, b.learners) &&
    sameMembers(a.learnersNext, b.learnersNext)
  );
}

function sameMembers(a: readonly MemberId[], b: readonly MemberId[]): boolean {
  return a.length === b.length && a.every((member, place) => member === b[place]);
}

function ascending(members: readonly MemberId[]): readonly MemberId[] {
  return [...members].sort((a, b) => a - b);
}

/** Configurations are shared between the log, messages and views: nobody may change one. */
function freeze(configuration: Configuration): Configuration {
  const { voters, outgoing, learners, learnersNext } = configuration;
  [voters, outgoing, learners, learnersNext].forEach(Object.freeze);
  return Object.freeze(configuration);
}
