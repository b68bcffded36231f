/**
 * One seed of disorder: messages lost, repeated, late, out of order; crashes between any two effects; slow disks; trims,
 * snapshots, changes of members, transfers, reads. Then everything heals, and progress is demanded.
 */
import { SeededRandom } from "@quipu/core";
import {
  emptyConfiguration,
  type MemberId,
  memberId,
  membersOf,
  type RaftMutation,
  type RaftSettings,
} from "@quipu/consensus";
import { SafetyViolation } from "./core-disk.ts";
import { CoreNetwork } from "./core-network.ts";

/** How often each thing happens; a seed draws its own. */
type Weights = Record<Action, number>;
type Action =
  | "deliver"
  | "repeat"
  | "lose"
  | "complete"
  | "tick"
  | "timeout"
  | "propose"
  | "read"
  | "crash"
  | "start"
  | "trim"
  | "install"
  | "change"
  | "transfer"
  | "unreachable"
  | "seal"
  | "burst"
  | "coup";

const stepsPerSeed = 300;

export interface ChaosResult {
  readonly chosenUpTo: number;
  readonly elections: number;
}

export function runChaos(seed: number, mutation?: RaftMutation): ChaosResult {
  const random = new SeededRandom(seed);
  const size = [1, 3, 3, 3, 5, 5][random.below(6)] as number;
  const network = new CoreNetwork({
    size,
    random,
    ...(mutation === undefined ? {} : { mutation }),
    crashOneIn: 20 + random.below(400),
    settings: drawSettings(random),
  });
  for (const joins of [memberId(11), memberId(12)]) network.add(joins, emptyConfiguration);
  const weights = drawWeights(random);
  // Some seeds begin with a working group, others with the very first election.
  if (random.chance(2, 3)) network.electLeader();
  network.calm = false;
  const order = Object.keys(weights) as Action[];
  const total = order.reduce((sum, action) => sum + weights[action], 0);
  for (let step = 0; step < stepsPerSeed; step++) {
    let draw = random.below(total);
    const action = order.find((candidate) => (draw -= weights[candidate]) < 0) as Action;
    act(network, random, action);
    if (step % 16 === 0) network.check();
  }
  network.check();
  heal(network, random);
  return { chosenUpTo: network.chosenUpTo, elections: network.elections };
}

/** Mostly limits so small that they are always met. */
function drawSettings(random: SeededRandom): Partial<RaftSettings> {
  const times = { electionTicks: 4, heartbeatTicks: 1 + random.below(2) };
  if (random.chance(1, 5)) return times;
  return {
    ...times,
    messageEntriesMax: 1 + random.below(6),
    messageBytesMax: 40 + random.below(200),
    inflightMessagesMax: 1 + random.below(4),
    inflightBytesMax: 40 + random.below(400),
    promotionLagEntriesMax: 1 + random.below(4),
    uncommittedBytesMax: 2000,
    retainedBytesMax: 10_000,
  };
}

function drawWeights(random: SeededRandom): Weights {
  const some = (numerator: number, upTo: number): number => (random.chance(numerator, 4) ? 1 + random.below(upTo) : 0);
  return {
    deliver: 100 + random.below(200),
    repeat: some(2, 20),
    lose: some(2, 30),
    complete: 30 + random.below(100),
    tick: 20 + random.below(60),
    timeout: some(3, 6),
    propose: 10 + random.below(30),
    read: 5 + random.below(20),
    crash: some(2, 4),
    start: 20,
    trim: some(2, 10),
    install: some(2, 10),
    change: some(2, 12),
    transfer: some(1, 5),
    unreachable: some(1, 5),
    seal: random.chance(1, 6) ? 1 : 0,
    burst: some(3, 10),
    coup: some(2, 80),
  };
}

function act(network: CoreNetwork, random: SeededRandom, action: Action): void {
  const members = network.members();
  const any = members[random.below(members.length)] as MemberId;
  const alive = network.alive();
  if (action === "start" || alive.length === 0) {
    if (!alive.includes(any)) network.start(any);
    return;
  }
  const one = alive[random.below(alive.length)] as MemberId;
  const leaders = alive.filter((member) => network.view(member).role === "leader");
  const leader = leaders[random.below(Math.max(1, leaders.length))] ?? one;
  switch (action) {
    case "deliver":
    case "repeat":
    case "lose": {
      if (network.inTransit.length === 0) return;
      const at = random.below(network.inTransit.length);
      if (action === "lose") network.drop(at);
      else network.deliver(at, action === "repeat");
      return;
    }
    case "complete":
      network.complete(one);
      return;
    case "tick":
      network.tick(one);
      return;
    case "timeout":
      for (let ticks = 0; ticks < 8 && network.alive().includes(one); ticks++) network.tick(one);
      return;
    case "propose":
      if (random.chance(9, 10)) network.propose(leader, 1 + random.below(5));
      return;
    case "read":
      network.read(leader);
      return;
    case "crash":
      network.crash(one);
      return;
    case "trim":
      network.trim(one);
      return;
    case "install":
      network.install(any, one);
      return;
    case "change":
      changeMembers(network, random, leader);
      return;
    case "transfer":
      network.step(leader, { type: "transferLeadership", to: any });
      return;
    case "unreachable":
      network.step(leader, { type: "peerUnreachable", member: any });
      return;
    case "seal":
      network.step(leader, { type: "seal", request: network.nextRequest() });
      return;
    case "burst":
      // Part of the group is fast for a while: the others lag behind.
      network.burst(random, drawSome(random, network.members()), 30);
      return;
    case "coup": {
      // Some of the group hear no leader any more, and have each other: logs part ways.
      const rebels = drawSome(random, alive);
      for (let ticks = 0; ticks < 9; ticks++) {
        for (const member of rebels) if (network.alive().includes(member)) network.tick(member);
        network.burst(random, rebels, random.below(12));
      }
      for (const member of rebels) if (random.chance(1, 3)) network.propose(member, 1 + random.below(3));
      network.burst(random, rebels, random.below(40));
      if (random.chance(1, 3) && network.alive().includes(one)) network.crash(one);
    }
  }
}

function drawSome(random: SeededRandom, members: readonly MemberId[]): readonly MemberId[] {
  return members.filter(() => random.chance(2, 3));
}

function changeMembers(network: CoreNetwork, random: SeededRandom, leader: MemberId): void {
  const voters: MemberId[] = [];
  const learners: MemberId[] = [];
  for (const member of network.members()) {
    const draw = random.below(10);
    if (draw < 6) voters.push(member);
    else if (draw < 8) learners.push(member);
  }
  network.step(leader, { type: "changeMembers", request: network.nextRequest(), voters, learners });
}

/** Everybody is up, nothing is lost any more: the group must serve. */
function heal(network: CoreNetwork, random: SeededRandom): void {
  network.calm = true;
  for (const member of network.members()) if (!network.alive().includes(member)) network.start(member);
  for (let round = 0; round < 200; round++) {
    for (const member of network.members()) network.tick(member);
    network.settle();
    for (const { to, from } of network.takeSnapshotsNeeded()) network.install(to, from);
    network.settle();
    const leader = network.leader();
    if (leader === undefined) continue;
    if (round % 10 === 0) network.propose(leader, 1 + random.below(3));
    network.settle();
    if (round > 20 && converged(network, leader)) {
      network.check();
      return;
    }
  }
  const picture = network.members().map((member) => JSON.stringify(network.view(member)));
  throw new SafetyViolation(["no progress after healing", ...picture].join("\n"));
}

function converged(network: CoreNetwork, leader: MemberId): boolean {
  const view = network.view(leader);
  if (view.configuration.outgoing.length > 0 || view.committed !== view.last) return false;
  return membersOf(view.configuration).every((member) => {
    const theirs = network.view(member);
    return theirs.delivered === view.last && theirs.term === view.term && theirs.leader === leader;
  });
}
