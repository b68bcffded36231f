/**
 * Majorities (Raft §5.2, §5.3), joint-aware (§6): while a configuration is joint, a decision needs a majority of
 * `voters` and, separately, a majority of `outgoing`. Learners never count. A configuration without voters never has
 * a quorum: a member that knows no cell decides nothing.
 */
import type { Configuration, MemberId } from "./quantities.ts";

/** The usual sizes are sorted in a place kept for it: the commit index is computed for each acknowledgement. */
const usualVotersMax = 7;
const usualSpace = new Float64Array(usualVotersMax);

/** Whether those for whom `has` answers true can decide. */
export function isQuorum(configuration: Configuration, has: (member: MemberId) => boolean): boolean {
  return (
    isMajority(configuration.voters, has) &&
    (configuration.outgoing.length === 0 || isMajority(configuration.outgoing, has))
  );
}

/** The highest index that a quorum holds at least, when each member holds everything up to `indexOf(member)`. */
export function quorumIndex(configuration: Configuration, indexOf: (member: MemberId) => number): number {
  const index = majorityIndex(configuration.voters, indexOf);
  // The lower one: an index is held by a quorum only if both majorities hold it.
  return configuration.outgoing.length === 0 ? index : Math.min(index, majorityIndex(configuration.outgoing, indexOf));
}

/** Lost as soon as those who have not refused are no quorum any more: waiting for them would be in vain. */
export function voteOutcome(
  configuration: Configuration,
  votes: ReadonlyMap<MemberId, boolean>,
): "won" | "lost" | "pending" {
  if (isQuorum(configuration, (member) => votes.get(member) === true)) {
    return "won";
  }
  return isQuorum(configuration, (member) => votes.get(member) !== false) ? "pending" : "lost";
}

function isMajority(members: readonly MemberId[], has: (member: MemberId) => boolean): boolean {
  let count = 0;
  for (const member of members) {
    count += has(member) ? 1 : 0;
  }
  return count > members.length / 2;
}

function majorityIndex(members: readonly MemberId[], indexOf: (member: MemberId) => number): number {
  return members.length === 0 ? 0 : reachedBy(members, Math.floor(members.length / 2) + 1, indexOf);
}

/** The highest number that at least `count` of the members reach; `count` is 1 .. their number. */
export function reachedBy(members: readonly MemberId[], count: number, numberOf: (member: MemberId) => number): number {
  const size = members.length;
  const ascending = size <= usualVotersMax ? usualSpace : new Float64Array(size);
  for (let filled = 0; filled < size; filled++) {
    const number = numberOf(members[filled] as MemberId);
    let place = filled;
    while (place > 0 && (ascending[place - 1] as number) > number) {
      ascending[place] = ascending[place - 1] as number;
      place--;
    }
    ascending[place] = number;
  }
  // Of 5 the third for a majority, of 4 the second: at this place and above it stand `count` members.
  return ascending[size - count] as number;
}
