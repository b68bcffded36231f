/** What chaos reaches only by luck: single decisions of the core, each set up by hand in a small group. */
import {
  emptyConfiguration,
  type LogIndex,
  type MemberId,
  memberId,
  type RaftSettings,
  type ReplyReason,
  type Term,
} from "@quipu/consensus";
import { SeededRandom } from "@quipu/core";
import { describe, expect, test } from "vitest";
import { CoreNetwork } from "./core-network.ts";

function group(size: number, settings: Partial<RaftSettings> = {}): { network: CoreNetwork; leader: MemberId } {
  const network = new CoreNetwork({ size, random: new SeededRandom(7), settings });
  const leader = network.electLeader();
  network.settle();
  return { network, leader };
}

function others(network: CoreNetwork, member: MemberId): MemberId[] {
  return network.members().filter((candidate) => candidate !== member);
}

/** The reason for which the last request was refused, if it was. */
function refusal(network: CoreNetwork): ReplyReason | undefined {
  const last = network.replies.findLast((effect) => effect.type === "reply" || effect.type === "proposed");
  return last?.type === "reply" ? last.reason : undefined;
}

function change(network: CoreNetwork, leader: MemberId, voters: MemberId[], learners: MemberId[] = []): void {
  network.step(leader, { type: "changeMembers", request: network.nextRequest(), voters, learners });
}

describe("limits", () => {
  test("proposals beyond the uncommitted bytes are refused, one alone never", () => {
    const { network, leader } = group(3, { uncommittedBytesMax: 40 });
    network.propose(leader, 5);
    expect(refusal(network)).toBeUndefined();
    network.propose(leader, 1);
    expect(refusal(network)).toBe("overloaded");
    network.settle();
    network.propose(leader, 1);
    expect(refusal(network)).toBeUndefined();
  });

  test("a retained log that is full takes proposals again once it is trimmed", () => {
    const { network, leader } = group(3, { retainedBytesMax: 200 });
    for (let count = 0; count < 10; count++) {
      network.propose(leader, 1);
      network.settle();
    }
    expect(refusal(network)).toBe("overloaded");
    network.step(leader, { type: "trim", upTo: network.view(leader).delivered });
    network.propose(leader, 1);
    expect(refusal(network)).toBeUndefined();
  });

  test("more waiting reads than the limit are refused", () => {
    const { network, leader } = group(3, { barriersWaitingMax: 2 });
    for (let count = 0; count < 3; count++) network.read(leader);
    expect(refusal(network)).toBe("overloaded");
  });
});

describe("reads", () => {
  test("many at once cost two rounds of heartbeats at most", () => {
    const { network, leader } = group(3);
    for (let count = 0; count < 100; count++) network.read(leader);
    expect(network.inTransit).toHaveLength(2);
    network.settle();
    expect(network.replies.filter(({ type }) => type === "barrierReady")).toHaveLength(100);
  });

  test("a single voter answers at once, from its first committed entry on", () => {
    const { network, leader } = group(1);
    network.read(leader);
    expect(network.replies.at(-1)).toMatchObject({ type: "barrierReady", index: 1 });
  });

  test("who stops leading drops the reads that wait", () => {
    const { network, leader } = group(3, { electionTicks: 5 });
    network.read(leader);
    for (let ticks = 0; ticks < 12; ticks++) network.tick(leader);
    expect(network.view(leader).role).toBe("follower");
    expect(refusal(network)).toBe("dropped");
  });
});

describe("seal", () => {
  test("while it is not committed proposals are dropped, then they are told that the log is sealed", () => {
    const { network, leader } = group(3);
    network.step(leader, { type: "seal", request: network.nextRequest() });
    network.propose(leader, 1);
    expect([refusal(network), network.view(leader).sealedAt]).toEqual(["dropped", undefined]);
    network.settle();
    for (const member of network.members()) {
      network.propose(member, 1);
      expect([refusal(network), network.view(member).sealedAt]).toEqual(["sealed", 2]);
    }
  });

  test("a second seal stands where the first does, and one for a sealed log is told so", () => {
    const { network, leader } = group(3);
    const seal = (): void => network.step(leader, { type: "seal", request: network.nextRequest() });
    seal();
    seal();
    expect(network.replies.at(-1)).toMatchObject({ type: "proposed", first: 2, last: 2 });
    network.settle();
    seal();
    expect(refusal(network)).toBe("sealed");
  });

  test("a trim leaves the seal in the log, so that a restart finds it", () => {
    const { network, leader } = group(3);
    network.propose(leader, 3);
    network.step(leader, { type: "seal", request: network.nextRequest() });
    network.settle();
    network.step(leader, { type: "trim", upTo: 5 as LogIndex });
    network.settle();
    expect([network.view(leader).start.index, network.view(leader).sealedAt]).toEqual([4, 5]);
    for (const member of network.members()) network.crash(member);
    for (const member of network.members()) network.start(member);
    const next = network.electLeader();
    network.settle();
    expect(network.view(next).sealedAt).toBe(5);
  });
});

describe("members", () => {
  const [newcomer] = [memberId(11)];

  test("a newcomer listens first, and may vote once it has caught up", () => {
    const { network, leader } = group(3, { promotionLagEntriesMax: 2 });
    network.add(newcomer, emptyConfiguration);
    const founders = others(network, newcomer);
    network.propose(leader, 10);
    network.settle();
    change(network, leader, [...founders, newcomer]);
    expect(refusal(network)).toBe("refused");
    change(network, leader, founders, [newcomer]);
    network.settle();
    change(network, leader, [...founders, newcomer]);
    expect(refusal(network)).toBeUndefined();
    network.settle();
    expect(network.view(newcomer).configuration).toMatchObject({ voters: [1, 2, 3, 11], outgoing: [], learners: [] });
    network.check();
  });

  test("a newcomer does not say how the log began before it knew of the group", () => {
    const { network, leader } = group(3);
    network.add(newcomer, emptyConfiguration);
    network.propose(leader, 4);
    change(network, leader, others(network, newcomer), [newcomer]);
    network.settle();
    const { delivered, configurationIndex } = network.view(newcomer);
    expect([delivered, configurationIndex]).toEqual([6, 6]);
    network.step(newcomer, { type: "trim", upTo: 3 as LogIndex });
    expect(network.view(newcomer).start.index).toBe(0);
    network.step(newcomer, { type: "trim", upTo: 6 as LogIndex });
    expect(network.view(newcomer).start).toMatchObject({ index: 6, configuration: { voters: [1, 2, 3] } });
  });

  test("a leader that removes itself leads until that is committed, then hands over", () => {
    const { network, leader } = group(3);
    change(network, leader, others(network, leader));
    network.settle();
    expect(network.view(leader)).toMatchObject({ role: "follower" });
    const next = network.leader();
    expect(next).not.toBe(leader);
    expect(next).toBeDefined(); // without a tick: it was told to campaign
    network.check();
  });

  test("thesis §4.2.2: a member that the newest configuration leaves out campaigns while that is not committed", () => {
    const network = new CoreNetwork({ size: 1, random: new SeededRandom(3) });
    const [founder] = [memberId(1)];
    network.electLeader();
    network.add(newcomer, emptyConfiguration);
    change(network, founder, [founder], [newcomer]);
    network.settle();
    change(network, founder, [newcomer]);
    // The joint entry is committed by both; the entry that leaves it stays with the founder, whose power fails.
    network.settle((_, to) => to !== newcomer || network.view(founder).configuration.outgoing.length > 0);
    expect(network.view(founder).configuration).toMatchObject({ voters: [11], outgoing: [] });
    expect(network.view(newcomer).configuration).toMatchObject({ voters: [11], outgoing: [1] });
    network.crash(founder);
    network.start(founder);
    for (let ticks = 0; ticks < 60; ticks++) {
      for (const member of network.members()) network.tick(member);
      network.settle();
    }
    expect(network.leader()).toBe(newcomer);
    expect(network.view(newcomer).configuration).toMatchObject({ voters: [11], outgoing: [] });
    network.check();
  });

  test("a removed member with its old log moves nobody", () => {
    const { network, leader } = group(3);
    const [removed, kept] = others(network, leader) as [MemberId, MemberId];
    const cut = (from: MemberId, to: MemberId): boolean => from !== removed && to !== removed;
    change(network, leader, [leader, kept]);
    network.settle(cut);
    const { term } = network.view(leader);
    for (let ticks = 0; ticks < 100; ticks++) {
      for (const member of network.members()) network.tick(member);
      network.settle();
    }
    expect(network.view(leader)).toMatchObject({ role: "leader", term });
  });
});

describe("transfer", () => {
  test("takes no proposals meanwhile, and the target leads without an election timeout", () => {
    const { network, leader } = group(3);
    const [target] = others(network, leader) as [MemberId];
    network.propose(leader, 3);
    network.step(leader, { type: "transferLeadership", to: target });
    network.propose(leader, 1);
    expect(refusal(network)).toBe("dropped");
    network.settle();
    expect(network.leader()).toBe(target);
    expect(network.view(target).committed).toBe(5);
    network.check();
  });

  test("is given up after an election timeout", () => {
    const { network, leader } = group(3, { electionTicks: 5 });
    const [target] = others(network, leader) as [MemberId];
    network.step(leader, { type: "transferLeadership", to: target });
    const cut = (from: MemberId, to: MemberId): boolean => from !== target && to !== target;
    for (let ticks = 0; ticks < 5; ticks++) {
      network.tick(leader);
      network.settle(cut);
    }
    network.propose(leader, 1);
    expect(refusal(network)).toBeUndefined();
  });
});

describe("snapshots", () => {
  test("a member behind the trim point asks for a snapshot until it has one, then goes on from there", () => {
    const { network, leader } = group(3);
    const [slow] = others(network, leader) as [MemberId];
    const cut = (from: MemberId, to: MemberId): boolean => from !== slow && to !== slow;
    network.propose(leader, 10);
    network.settle(cut);
    network.step(leader, { type: "trim", upTo: 8 as LogIndex });
    network.tick(leader);
    network.settle();
    expect(network.view(leader).progress.find(({ member }) => member === slow)?.state).toBe("snapshot");
    expect(network.takeSnapshotsNeeded()).toContainEqual({ to: slow, from: leader });
    network.install(slow, leader);
    network.propose(leader, 2);
    network.settle();
    const { last } = network.view(leader);
    expect(network.view(slow)).toMatchObject({ last, delivered: last });
    expect(network.view(slow).start.index).toBe(11);
    network.check();
  });

  test("a log that ends beyond the trim point, but in another leader's entries, is tried once and not for ever", () => {
    const { network, leader } = group(3);
    const [slow] = others(network, leader) as [MemberId];
    network.propose(leader, 10);
    network.settle((from, to) => from !== slow && to !== slow);
    network.step(leader, { type: "trim", upTo: 8 as LogIndex });
    const { term } = network.view(leader);
    const state = (): string | undefined => network.view(leader).progress.find(({ member }) => member === slow)?.state;
    const refuse = (rejected: number, hintIndex: number, hintTerm: number): void =>
      network.step(leader, {
        type: "receive",
        from: slow,
        message: {
          type: "appendRejected",
          term,
          rejected: rejected as LogIndex,
          hintIndex: hintIndex as LogIndex,
          hintTerm: hintTerm as Term,
          barrier: 0,
        },
      });
    refuse(11, 3, 0);
    expect(state()).toBe("snapshot");
    refuse(8, 9, term); // the answer to SnapshotNeeded
    expect(state()).toBe("probe");
    refuse(9, 3, 0);
    expect(state()).toBe("snapshot");
    const before = network.inTransit.length;
    refuse(8, 9, term);
    expect([state(), network.inTransit.length]).toEqual(["snapshot", before]);
    refuse(8, 10, term); // its log has changed
    expect(state()).toBe("probe");
  });
});
