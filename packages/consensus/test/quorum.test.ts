/** Quorum arithmetic against brute force over all subsets, joint configurations included. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Configuration,
  emptyConfiguration,
  isQuorum,
  type MemberId,
  memberId,
  quorumIndex,
  voteOutcome,
} from "@quipu/consensus";

/** Members 1..14: joint configurations of up to 7 + 7, disjoint or overlapping, with learners beside them. */
const someMembers = fc
  .uniqueArray(fc.integer({ min: 1, max: 14 }), { maxLength: 7 })
  .map((members) => members.map(memberId).sort((a, b) => a - b));
const someConfiguration: fc.Arbitrary<Configuration> = fc
  .tuple(someMembers, someMembers, fc.boolean())
  .map(([voters, outgoing, joint]) => ({
    voters,
    outgoing: joint && voters.length > 0 ? outgoing : [],
    learners: [memberId(20), memberId(21)],
    learnersNext: [],
  }));

function everybody(configuration: Configuration): MemberId[] {
  return [...new Set([...configuration.voters, ...configuration.outgoing])].sort((a, b) => a - b);
}

function subsets(members: readonly MemberId[]): Set<MemberId>[] {
  const all: Set<MemberId>[] = [];
  for (let bits = 0; bits < 2 ** members.length; bits++) {
    all.push(new Set(members.filter((_, place) => (bits >>> place) & 1)));
  }
  return all;
}

/** The definition, in other words than the code: more of them have than have not. */
function naiveIsQuorum(configuration: Configuration, having: ReadonlySet<MemberId>): boolean {
  const moreThanHalf = (members: readonly MemberId[]): boolean =>
    members.filter((member) => having.has(member)).length > members.filter((member) => !having.has(member)).length;
  const outgoingAgree = configuration.outgoing.length === 0 || moreThanHalf(configuration.outgoing);
  return configuration.voters.length > 0 && moreThanHalf(configuration.voters) && outgoingAgree;
}

function configurationOf(voters: number, outgoing: readonly number[] = []): Configuration {
  const members = Array.from({ length: voters }, (_, place) => memberId(place + 1));
  return { voters: members, outgoing: outgoing.map(memberId), learners: [], learnersNext: [] };
}

describe("isQuorum", () => {
  test("equals the definition for every subset of every small joint configuration", () => {
    // Voters 1..n beside every set of outgoing among 1..5: all that two majorities can do to one another.
    for (let voters = 1; voters <= 5; voters++) {
      for (const outgoing of subsets([1, 2, 3, 4, 5].map(memberId))) {
        const configuration = configurationOf(voters, [...outgoing]);
        for (const having of subsets(everybody(configuration))) {
          const is = isQuorum(configuration, (member) => having.has(member));
          expect(is).toBe(naiveIsQuorum(configuration, having));
        }
      }
    }
  });

  test("property: equals the definition up to seven beside seven voters, all subsets", () => {
    const holds = (configuration: Configuration): void => {
      const wrong = subsets(everybody(configuration)).filter(
        (having) => isQuorum(configuration, (member) => having.has(member)) !== naiveIsQuorum(configuration, having),
      );
      expect(wrong).toEqual([]);
    };
    fc.assert(fc.property(someConfiguration, holds), { numRuns: 30 });
  });

  test("two quorums of one configuration always have a voter in common", () => {
    const holds = (configuration: Configuration): void => {
      // Enough to try the smallest quorums: whoever leaves one out of them has none.
      for (const having of subsets(everybody(configuration))) {
        const one = isQuorum(configuration, (member) => having.has(member));
        const other = isQuorum(configuration, (member) => !having.has(member));
        expect(one && other).toBe(false);
      }
    };
    fc.assert(fc.property(someConfiguration, holds), { numRuns: 20 });
  });

  test("learners never count, and an empty configuration has no quorum", () => {
    const learning = { ...configurationOf(3), learners: [4, 5, 6].map(memberId) };
    expect(isQuorum(learning, (member) => member !== 1 && member !== 2)).toBe(false);
    expect(isQuorum(emptyConfiguration, () => true)).toBe(false);
  });

  test("sizes of the smallest quorum: 1 2 2 3 3 4 4", () => {
    const smallest = [1, 2, 3, 4, 5, 6, 7].map((voters) => {
      const sizes = [1, 2, 3, 4, 5, 6, 7];
      return sizes.find((size) => isQuorum(configurationOf(voters), (member) => member <= size));
    });
    expect(smallest).toEqual([1, 2, 2, 3, 3, 4, 4]);
  });
});

describe("quorumIndex", () => {
  test("property: the highest index that a quorum holds, by trying all", () => {
    const holds = (configuration: Configuration, seed: readonly number[]): void => {
      const indexOf = (member: MemberId): number => seed[member % seed.length] as number;
      let naive = 0;
      for (let index = 1; index <= 10; index++) {
        const having = new Set(everybody(configuration).filter((member) => indexOf(member) >= index));
        if (naiveIsQuorum(configuration, having)) naive = index;
      }
      expect(quorumIndex(configuration, indexOf)).toBe(naive);
    };
    const indexes = fc.array(fc.nat({ max: 10 }), { minLength: 14, maxLength: 14 });
    fc.assert(fc.property(someConfiguration, indexes, holds), { numRuns: 500 });
  });

  test("every assignment of 0..3 to five voters, joint with the last three of them", () => {
    const configuration = configurationOf(5, [3, 4, 5]);
    for (let assignment = 0; assignment < 4 ** 5; assignment++) {
      const indexOf = (member: MemberId): number => Math.floor(assignment / 4 ** (member - 1)) % 4;
      const best = [3, 2, 1].find((index) => isQuorum(configuration, (member) => indexOf(member) >= index));
      expect(quorumIndex(configuration, indexOf)).toBe(best ?? 0);
    }
  });

  test("nine voters, more than the usual, and none", () => {
    expect(quorumIndex(configurationOf(9), (member) => member * 10)).toBe(50);
    expect(quorumIndex(emptyConfiguration, () => 7)).toBe(0);
  });
});

describe("voteOutcome", () => {
  test("property: won or lost if however the others vote it stays so, else pending", () => {
    const holds = (configuration: Configuration, answers: readonly number[]): void => {
      const voters = everybody(configuration);
      const votes = new Map<MemberId, boolean>();
      for (const voter of voters) {
        const answer = answers[voter % answers.length] as number;
        if (answer < 2) votes.set(voter, answer === 1);
      }
      const silent = voters.filter((voter) => !votes.has(voter));
      const futures = subsets(silent).map((granting) =>
        naiveIsQuorum(configuration, new Set(voters.filter((voter) => votes.get(voter) ?? granting.has(voter)))),
      );
      const decided = futures.every(Boolean) ? "won" : futures.some(Boolean) ? "pending" : "lost";
      expect(voteOutcome(configuration, votes)).toBe(decided);
    };
    const answers = fc.array(fc.nat({ max: 2 }), { minLength: 14, maxLength: 14 });
    fc.assert(fc.property(someConfiguration, answers, holds), { numRuns: 100 });
  });

  test("the votes of learners and strangers do not count", () => {
    const configuration = { ...configurationOf(3), learners: [memberId(4)] };
    const votes = new Map([1, 4, 9].map((member) => [memberId(member), true]));
    expect(voteOutcome(configuration, votes)).toBe("pending");
    expect(voteOutcome(emptyConfiguration, votes)).toBe("lost");
  });
});
