/**
 * The partial partitions of OmniPaxos (EuroSys 2023) in which a leader that reaches a quorum exists, but many protocols
 * do not find it or do not keep it. What Raft's PreVote and CheckQuorum do in the same ones is told in
 * raft/partial-partitions.test.ts: it finds no leader where the one member that reaches a quorum has an old log. Here
 * every case ends with a leader that can choose, within four election timeouts.
 */
import { memberId, type MemberId } from "@quipu/consensus";
import { describe, expect, test } from "vitest";
import { foundingState } from "../cell.ts";
import { Cell as RaftCell } from "../raft/cell.ts";
import { newRaft, settingsOf } from "../raft/cores.ts";
import { Invariants } from "../raft/invariants.ts";
import { SeededRandom } from "@quipu/core";
import { type CellEvent, elect, leaderOf, newCell, type PaxosCell, propose, run } from "./cell.ts";
import { PaxosInvariants } from "./invariants.ts";

const electionTicks = 10;
const seeds = [1, 2, 3, 4, 5, 6, 7, 8];
type Link = readonly [number, number];

class Net {
  readonly cell: PaxosCell;
  readonly invariants = new PaxosInvariants();
  leaderships = 0;
  #records = 0;

  constructor(size: number, seed: number) {
    this.cell = newCell({ size, seed, settings: { electionTicks }, watch: (event) => this.#watch(event) });
  }

  /** Only these links are up, both ways. */
  link(...pairs: readonly Link[]): void {
    link(this.cell, pairs);
  }

  run(timeouts: number): void {
    run(this.cell, timeouts * electionTicks);
  }

  propose(): void {
    const leader = leaderOf(this.cell);
    if (leader !== undefined) propose(this.cell, leader, `x${++this.#records}`);
    this.cell.stabilize();
  }

  /** Whether something new can be chosen now. */
  isAvailable(): boolean {
    const before = this.invariants.committedMax;
    this.propose();
    return this.invariants.committedMax > before;
  }

  #watch(event: CellEvent): void {
    this.invariants.watch(event);
    if (event.type === "effect" && event.effect.type === "role" && event.effect.role === "leader") this.leaderships++;
  }
}

function link(
  cell: Pick<PaxosCell, "heal" | "cut"> & { readonly seats: readonly { readonly member: MemberId }[] },
  pairs: readonly Link[],
): void {
  cell.heal();
  for (const { member: from } of cell.seats) {
    for (const { member: to } of cell.seats) {
      const isUp = pairs.some(([a, b]) => (a === from && b === to) || (a === to && b === from));
      if (!isUp) cell.cut(from, to);
    }
  }
}

/** Available within four timeouts, and the leader stays. */
function expectStable(net: Net): void {
  net.run(4);
  expect(net.isAvailable()).toBe(true);
  const before = net.leaderships;
  net.run(20);
  expect(net.isAvailable()).toBe(true);
  expect(net.leaderships).toBe(before);
}

describe("partial partitions", () => {
  test.each(seeds)("quorum loss: only 2 reaches a quorum, and the leader is another (seed %i)", (seed) => {
    const net = new Net(5, seed);
    elect(net.cell, 1);
    net.link([2, 1], [2, 3], [2, 4], [2, 5]);
    expectStable(net);
    expect(leaderOf(net.cell)).toBe(2);
  });

  test.each(seeds)(
    "constrained election: who reaches a quorum has an old log, and leads all the same (seed %i)",
    (seed) => {
      const net = new Net(5, seed);
      elect(net.cell, 1);
      net.link([1, 3], [1, 4], [1, 5], [3, 4], [3, 5], [4, 5]);
      net.propose();
      net.link([2, 3], [2, 4], [2, 5]);
      expectStable(net);
      expect(leaderOf(net.cell)).toBe(2);
      expect(net.cell.core(memberId(2)).inspect().committed).toBeGreaterThanOrEqual(3);
    },
  );

  test.each(seeds)("the same for Raft, so that the difference is seen: no leader until it heals (seed %i)", (seed) => {
    const chance = new SeededRandom(seed);
    const invariants = new Invariants();
    const settings = settingsOf({ electionTicks: String(electionTicks) });
    const members = [1, 2, 3, 4, 5].map(memberId);
    const cell = new RaftCell({
      create: (member, restored) => newRaft({ member, random: new SeededRandom(chance.uint32()), settings, restored }),
      watch: (event) => invariants.watch(event),
    });
    for (const member of members) cell.add(member, foundingState(members));
    const leader = (): MemberId | undefined => members.find((member) => cell.core(member).inspect().role === "leader");
    const runRaft = (ticks: number): void => {
      for (let tick = 0; tick < ticks; tick++) {
        for (const member of members) cell.step(member, { type: "tick" });
        cell.stabilize();
      }
    };
    runRaft(40);
    const old = members.find((member) => member !== leader()) as MemberId;
    const others = members.filter((member) => member !== old);
    const pairs = others.flatMap((a) => others.map((b): Link => [a, b]));
    link(cell, pairs);
    cell.step(leader() as MemberId, { type: "propose", request: 1, records: [new Uint8Array(1)] });
    cell.stabilize();
    const first = leader() as MemberId;
    link(
      cell,
      others.filter((member) => member !== first).map((member): Link => [old, member]),
    );
    runRaft(40);
    expect(leader()).toBeUndefined();
  });

  test.each(seeds)("chain of three: the end that does not hear the leader disturbs nobody (seed %i)", (seed) => {
    const net = new Net(3, seed);
    elect(net.cell, 1);
    net.link([1, 2], [2, 3]);
    const before = net.leaderships;
    net.run(30);
    expect([leaderOf(net.cell), net.leaderships]).toEqual([1, before]);
    expect(net.isAvailable()).toBe(true);
  });

  test.each(seeds)(
    "chain of five: its leader at the end loses its quorum, and one in the middle stays (seed %i)",
    (seed) => {
      const net = new Net(5, seed);
      elect(net.cell, 1);
      net.link([1, 2], [2, 3], [3, 4], [4, 5]);
      expectStable(net);
      expect([2, 3, 4]).toContain(leaderOf(net.cell));
    },
  );

  test.each(seeds)("one-way: the leader hears nobody but is heard by all. Another leads (seed %i)", (seed) => {
    const net = new Net(5, seed);
    elect(net.cell, 1);
    for (const other of [2, 3, 4, 5]) net.cell.cut(memberId(other), memberId(1));
    expectStable(net);
    expect(leaderOf(net.cell)).not.toBe(1);
  });

  test.each(seeds)("one-way: a member hears nobody but is heard by all. It deposes nobody (seed %i)", (seed) => {
    const net = new Net(3, seed);
    elect(net.cell, 1);
    for (const other of [1, 2]) net.cell.cut(memberId(other), memberId(3));
    const before = net.leaderships;
    net.run(30);
    expect([leaderOf(net.cell), net.leaderships]).toEqual([1, before]);
    expect(net.isAvailable()).toBe(true);
  });

  test.each(seeds)("a leader without a quorum says so itself, and takes no more proposals (seed %i)", (seed) => {
    const net = new Net(5, seed);
    elect(net.cell, 1);
    net.link([1, 2], [3, 4], [4, 5], [3, 5]);
    net.run(3);
    expect(net.cell.core(memberId(1)).inspect().role).toBe("follower");
    expect(propose(net.cell, memberId(1), "late")).toBe(false);
  });
});
