/** Configuration changes against a naive model, and what makes them safe: quorums of neighbours intersect. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Configuration,
  emptyConfiguration,
  enterChange,
  foundingConfiguration,
  isJoint,
  isLearner,
  isQuorum,
  isVoter,
  leaveJoint,
  type MemberId,
  memberId,
  membersMax,
  membersOf,
  sameConfiguration,
} from "@quipu/consensus";

const ids = (...members: readonly number[]): MemberId[] => members.map(memberId);

/** Each member's place, told in one word: what a configuration means, without its lists. */
type Part = "voter" | "learner" | "joining" | "leaving" | "staying" | "demoted";

function partsOf(configuration: Configuration): Map<number, Part> {
  const parts = new Map<number, Part>();
  for (const member of membersOf(configuration)) {
    const comes = configuration.voters.includes(member);
    const goes = configuration.outgoing.includes(member);
    const joint = configuration.outgoing.length > 0;
    if (comes) parts.set(member, joint ? (goes ? "staying" : "joining") : "voter");
    else if (goes) parts.set(member, configuration.learnersNext.includes(member) ? "demoted" : "leaving");
    else parts.set(member, "learner");
  }
  return parts;
}

function describeParts(parts: ReadonlyMap<number, Part>): string {
  return JSON.stringify([...parts].sort(([a], [b]) => a - b));
}

/** The model: each member steps on its own. */
function modelEnter(parts: ReadonlyMap<number, Part>, voters: readonly number[], learners: readonly number[]) {
  const before = [...parts].filter(([, part]) => part === "voter").map(([member]) => member);
  const joint = before.length !== voters.length || before.some((member) => !voters.includes(member));
  const next = new Map<number, Part>();
  for (let member = 1; member <= 9; member++) {
    const voted = parts.get(member) === "voter";
    if (voters.includes(member)) next.set(member, joint ? (voted ? "staying" : "joining") : "voter");
    else if (learners.includes(member)) next.set(member, voted ? "demoted" : "learner");
    else if (voted) next.set(member, "leaving");
  }
  return next;
}

function modelLeave(parts: ReadonlyMap<number, Part>): Map<number, Part> {
  const next = new Map<number, Part>();
  for (const [member, part] of parts) {
    if (part === "staying" || part === "joining" || part === "voter") next.set(member, "voter");
    if (part === "demoted" || part === "learner") next.set(member, "learner");
  }
  return next;
}

function expectOrderly(configuration: Configuration): void {
  const { voters, outgoing, learners, learnersNext } = configuration;
  for (const members of [voters, outgoing, learners, learnersNext]) {
    expect(members).toEqual([...new Set(members)].sort((a, b) => a - b));
  }
  expect(learners.filter((member) => isVoter(configuration, member))).toEqual([]);
  expect(learnersNext.filter((member) => !outgoing.includes(member) || voters.includes(member))).toEqual([]);
  expect(isJoint(configuration)).toBe(outgoing.length > 0);
}

/** Brute force: no set of members is a quorum before while its complement is one after. */
function expectIntersecting(before: Configuration, after: Configuration): void {
  const members = [...new Set([...membersOf(before), ...membersOf(after)])];
  for (let bits = 0; bits < 2 ** members.length; bits++) {
    const inside = (member: MemberId): boolean => ((bits >>> members.indexOf(member)) & 1) === 1;
    if (isQuorum(before, inside) && isQuorum(after, (member) => !inside(member))) {
      expect.unreachable(`quorums apart: ${JSON.stringify(before)} and ${JSON.stringify(after)}`);
    }
  }
}

const someTarget = fc
  .tuple(
    fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { minLength: 0, maxLength: 5 }),
    fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 3 }),
  )
  .map(([voters, learners]) => ({ voters, learners }));

describe("changes of members", () => {
  test("property: a random sequence of changes goes as in the model, neighbours' quorums intersecting", () => {
    const holds = (targets: readonly { voters: number[]; learners: number[] }[]): void => {
      let configuration = foundingConfiguration(ids(1, 2, 3));
      for (const { voters, learners } of targets) {
        const entered = enterChange(configuration, ids(...voters), ids(...learners));
        const overlap = voters.some((member) => learners.includes(member));
        const model = modelEnter(partsOf(configuration), voters, learners);
        const changes = describeParts(model) !== describeParts(partsOf(configuration));
        expect(entered !== undefined).toBe(voters.length > 0 && !overlap && changes);
        if (entered === undefined) continue;
        expectOrderly(entered);
        expect(partsOf(entered)).toEqual(new Map([...model].sort(([a], [b]) => a - b)));
        expectIntersecting(configuration, entered);
        expect(enterChange(entered, ids(1), []) === undefined).toBe(isJoint(entered) || sameAs(entered, [1], []));
        const left = leaveJoint(entered);
        expectOrderly(left);
        expect(partsOf(left)).toEqual(modelLeave(partsOf(entered)));
        expectIntersecting(entered, left);
        expect(left.voters).toEqual(ids(...voters).sort((a, b) => a - b));
        expect(left.learners).toEqual(ids(...learners).sort((a, b) => a - b));
        configuration = left;
      }
    };
    fc.assert(fc.property(fc.array(someTarget, { maxLength: 8 }), holds), { numRuns: 60 });
  });

  test("a step straight from old to new voters would not be safe: the check sees it", () => {
    const straight = (): void =>
      expectIntersecting(foundingConfiguration(ids(1, 2, 3)), foundingConfiguration(ids(3, 4, 5)));
    expect(straight).toThrow("quorums apart");
  });

  test("a voter that becomes a learner waits in learnersNext while joint", () => {
    const entered = enterChange(foundingConfiguration(ids(1, 2, 3)), ids(1, 2, 4), ids(3, 5)) as Configuration;
    expect(entered).toEqual({
      voters: ids(1, 2, 4),
      outgoing: ids(1, 2, 3),
      learners: ids(5),
      learnersNext: ids(3),
    });
    expect(isLearner(entered, memberId(3))).toBe(false);
    expect(leaveJoint(entered)).toEqual(foundingConfiguration(ids(1, 2, 4), ids(3, 5)));
  });

  test("learners alone change in one step", () => {
    const entered = enterChange(foundingConfiguration(ids(1, 2, 3)), ids(3, 2, 1), ids(5, 4));
    expect(entered).toEqual(foundingConfiguration(ids(1, 2, 3), ids(4, 5)));
  });

  test.each([
    ["no voters", [], [1]],
    ["a voter that is a learner too", [1, 2, 3], [3]],
    ["somebody named twice", [1, 2, 2], []],
    ["nothing to change", [3, 2, 1], []],
    ["too many", Array.from({ length: membersMax + 1 }, (_, place) => place + 1), []],
  ])("invalid: %s", (_, voters, learners) => {
    expect(enterChange(foundingConfiguration(ids(1, 2, 3)), ids(...voters), ids(...learners))).toBeUndefined();
  });

  test("those who leave count towards the limit of members while joint", () => {
    const many = Array.from({ length: membersMax }, (_, place) => memberId(place + 2));
    expect(enterChange(foundingConfiguration(ids(1)), many, [])).toBeUndefined();
    expect(enterChange(foundingConfiguration(ids(1)), many.slice(1), [])).toBeDefined();
  });
});

describe("small questions", () => {
  test("sameConfiguration tells every list apart", () => {
    const base = enterChange(foundingConfiguration(ids(1, 2, 3)), ids(1, 2, 4), ids(3, 5)) as Configuration;
    expect(sameConfiguration(base, { ...base })).toBe(true);
    for (const list of ["voters", "outgoing", "learners", "learnersNext"] as const) {
      expect(sameConfiguration(base, { ...base, [list]: ids(9) })).toBe(false);
      expect(sameConfiguration(base, { ...base, [list]: base[list].slice(1) })).toBe(false);
    }
  });

  test("the empty configuration has nobody, and founding needs a voter", () => {
    expect(membersOf(emptyConfiguration)).toEqual([]);
    expect(isJoint(emptyConfiguration)).toBe(false);
    expect(() => foundingConfiguration([])).toThrow("cannot be founded");
    expect(() => foundingConfiguration(ids(1, 2), ids(2))).toThrow("cannot be founded");
  });

  test("leaving a configuration that is not joint changes nothing", () => {
    const simple = foundingConfiguration(ids(3, 1, 2), ids(4));
    expect(leaveJoint(simple)).toBe(simple);
  });

  test("a configuration cannot be changed by who holds it", () => {
    const configuration = foundingConfiguration(ids(1, 2, 3));
    expect(() => (configuration.voters as MemberId[]).push(memberId(4))).toThrow(TypeError);
  });
});

function sameAs(configuration: Configuration, voters: readonly number[], learners: readonly number[]): boolean {
  return sameConfiguration(configuration, foundingConfiguration(ids(...voters), ids(...learners)));
}
