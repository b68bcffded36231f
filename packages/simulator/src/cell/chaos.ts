/**
 * What is done to a cell from outside while it works: partitions, slow links, pauses, kills, lost disks, clocks that
 * jump; and what its operators do: members replaced, leadership transferred, checkpoints, orderly stops. All of it at
 * random, and more often at the worst moments: during elections, in joint configurations, while a snapshot is under way.
 */
import { type MemberId, nodeOf } from "@quipu/consensus";
import type { Random } from "@quipu/core";
import type { ProcessLife, Scheduler } from "../scheduler.ts";
import type { ConsensusBook } from "./book.ts";
import type { CellHost } from "./host.ts";
import type { SimulatedNetwork } from "./network.ts";
import type { GroupUnderTest } from "./node-under-test.ts";
import { type DirectedLink, drawPartition, shuffled } from "./partitions.ts";
import type { CellService } from "./service.ts";
import type { CellSwarm } from "./swarm.ts";

export interface ChaosOptions {
  readonly random: Random;
  readonly swarm: CellSwarm;
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly hosts: readonly CellHost[];
  readonly bookOf: (group: number) => ConsensusBook | undefined;
  /** The metadata group, and those that take what is appended. */
  readonly openGroups: () => readonly number[];
  readonly service: CellService | undefined;
  readonly mayDamage: (host: CellHost) => boolean;
  readonly isOn: () => boolean;
}

const perTenThousand = 10_000;
const wallJumpsMs = [-3_600_000, -2_500, -40, 40, 2_500, 600_000] as const;
/** The shortest pause: a long garbage collection. */
const pauseUsMin = 1_000;
/** How long a flapping link stays in one state. */
const flapUsMax = 200_000;
const slowUsMax = 700_000;
/** A switch takes some elections' time. */
const switchUsMax = 1_000_000;
const outageUsMax = 5_000_000;

type Action =
  | "partition"
  | "slowLinks"
  | "pause"
  | "kill"
  | "wipe"
  | "wallJump"
  | "transfer"
  | "memberChange"
  | "switch";

interface Leader {
  readonly host: CellHost;
  readonly group: GroupUnderTest;
}

export class Chaos {
  readonly #options: ChaosOptions;
  #isPartitioned = false;

  constructor(options: ChaosOptions) {
    this.#options = options;
  }

  start(): void {
    const { scheduler, swarm, isOn } = this.#options;
    scheduler.schedule(swarm.chaosEveryUs, undefined, () => {
      if (!isOn()) return;
      this.#step();
      this.start();
    });
  }

  /** A core has stepped into a state in which trouble hurts most. */
  badMoment(host: CellHost): void {
    const { random, swarm, scheduler, isOn } = this.#options;
    if (swarm.opportunism === 0 || !isOn() || random.below(perTenThousand) >= swarm.opportunism) return;
    const actions = this.#actionsOn();
    const action = actions[random.below(Math.max(1, actions.length))];
    if (action === undefined) return;
    // Never inside a step of the code under test.
    scheduler.schedule(random.below(2_000), undefined, () => {
      if (isOn()) this.#do(action, random.chance(2, 3) ? host : this.#anyHost());
    });
  }

  #actionsOn(): readonly Action[] {
    const { swarm } = this.#options;
    const rates: readonly (readonly [Action, number])[] = [
      ["partition", swarm.partitions],
      ["slowLinks", swarm.slowLinks],
      ["pause", swarm.pauses],
      ["kill", swarm.kills],
      ["wipe", swarm.wipes],
      ["transfer", swarm.transfers],
      ["memberChange", swarm.memberChanges],
      ["switch", swarm.switches],
    ];
    return rates.filter(([, rate]) => rate > 0).map(([action]) => action);
  }

  #step(): void {
    const { random, swarm } = this.#options;
    const happens = (chance: number): boolean => chance > 0 && random.below(perTenThousand) < chance;
    if (happens(swarm.partitions)) this.#do("partition", this.#target());
    if (happens(swarm.slowLinks)) this.#do("slowLinks", this.#target());
    if (happens(swarm.lateEchoes)) this.#lateEchoes();
    if (happens(swarm.pauses)) this.#do("pause", this.#target());
    if (happens(swarm.kills)) this.#do("kill", this.#target());
    if (happens(swarm.wipes)) this.#do("wipe", this.#target());
    if (happens(swarm.wallJumps)) this.#do("wallJump", this.#anyHost());
    if (happens(swarm.transfers)) this.#do("transfer", this.#target());
    if (happens(swarm.memberChanges)) this.#do("memberChange", this.#target());
    if (happens(swarm.switches)) this.#do("switch", this.#target());
    if (happens(swarm.outages)) this.#outage();
    if (happens(swarm.checkpoints)) this.#anyHost().checkpoint();
    if (happens(swarm.orderlyStops)) this.#orderlyStop(this.#anyHost());
  }

  #do(action: Action, host: CellHost): void {
    switch (action) {
      case "partition":
        return this.#partition(host);
      case "slowLinks":
        return this.#slowLinks(host);
      case "pause":
        return this.#pause(host);
      case "kill":
        host.met("killed");
        return host.crash("by a kill");
      case "wipe":
        if (!this.#options.mayDamage(host)) return;
        host.met("disk lost");
        return host.wipe();
      case "wallJump":
        return this.#jump(host);
      case "transfer":
        return this.#transfer();
      case "memberChange":
        return this.#changeMembers();
      case "switch":
        return this.#switch(host);
    }
  }

  #anyHost(): CellHost {
    const { random, hosts } = this.#options;
    return hosts[random.below(hosts.length)] as CellHost;
  }

  /** Half of the time a leader. */
  #target(): CellHost {
    const { random } = this.#options;
    const leader = random.chance(1, 2) ? this.#leader() : undefined;
    return leader?.host ?? this.#anyHost();
  }

  #leader(): Leader | undefined {
    const { random, openGroups } = this.#options;
    const groups = openGroups();
    return this.#leaderOf(groups[random.below(groups.length)] as number);
  }

  /** Of a group whose members can change. */
  #raftLeader(): Leader | undefined {
    const { random, openGroups, bookOf } = this.#options;
    const groups = openGroups().filter((group) => bookOf(group)?.engine === "raft");
    return this.#leaderOf(groups[random.below(Math.max(1, groups.length))] ?? 0);
  }

  #leaderOf(number: number): Leader | undefined {
    const { bookOf, hosts } = this.#options;
    const member = bookOf(number)?.leader()?.member;
    if (member === undefined) return undefined;
    const host = hosts.find(({ node }) => node === nodeOf(member));
    const group = host?.process?.groups.find((other) => other.group === number);
    return host === undefined || group === undefined || !host.isReachable || host.isPaused
      ? undefined
      : { host, group };
  }

  #partition(host: CellHost): void {
    if (this.#isPartitioned) return;
    const { random, network, hosts, swarm, scheduler, isOn } = this.#options;
    const nodes = hosts.map(({ node }) => node);
    const { name, cut } = drawPartition(nodes, host.node, random);
    const isFlapping = random.chance(1, 4);
    host.met(isFlapping ? `flapping: ${name}` : name);
    network.setCut(cut, true);
    this.#isPartitioned = true;
    const untilUs = scheduler.nowUs + random.below(swarm.partitionUsMax);
    if (isFlapping) this.#flap(cut, untilUs, false);
    scheduler.schedule(untilUs - scheduler.nowUs, undefined, () => {
      this.#isPartitioned = false;
      if (isOn()) network.setCut(cut, false);
    });
  }

  /** A leader proposes what reaches nobody: it stands in its log until somebody else's entries take its place. */
  #strand(host: CellHost): void {
    if (this.#isPartitioned) return;
    const { network, hosts, scheduler, isOn, random, swarm } = this.#options;
    host.met("stranded with a change");
    const others = hosts.filter((other) => other !== host);
    const cut = others.map(({ node }): DirectedLink => [host.node, node]);
    network.setCut(cut, true);
    this.#isPartitioned = true;
    scheduler.schedule(random.below(swarm.partitionUsMax), undefined, () => {
      this.#isPartitioned = false;
      if (isOn()) network.setCut(cut, false);
    });
  }

  #flap(cut: readonly DirectedLink[], untilUs: number, isCut: boolean): void {
    const { random, network, scheduler, isOn } = this.#options;
    scheduler.schedule(random.below(flapUsMax), undefined, () => {
      if (!isOn() || scheduler.nowUs >= untilUs) return;
      network.setCut(cut, isCut);
      this.#flap(cut, untilUs, !isCut);
    });
  }

  #slowLinks(host: CellHost): void {
    const { random, network, hosts, swarm, scheduler } = this.#options;
    host.met("slow links");
    const others = hosts.filter(({ node }) => node !== host.node).map(({ node }) => node);
    // One way or both.
    const ways = random.below(3);
    const links = [
      ...(ways === 1 ? [] : others.map((node): DirectedLink => [host.node, node])),
      ...(ways === 0 ? [] : others.map((node): DirectedLink => [node, host.node])),
    ].filter(() => random.chance(3, 4));
    network.setSlow(links, random.below(slowUsMax));
    scheduler.schedule(random.below(swarm.partitionUsMax), undefined, () => network.setSlow(links, 0));
  }

  /**
   * First the leader's peers are slow to reach it, by a little more than an election takes; then nobody hears it. While
   * the others elect and go on, it takes what they said long ago for their consent (research/consensus.md P4b).
   */
  #lateEchoes(): void {
    const host = this.#leader()?.host;
    if (host === undefined || this.#isPartitioned) return;
    const { random, network, hosts, swarm, scheduler, isOn } = this.#options;
    const others = hosts.filter((other) => other !== host);
    const electionUs = swarm.electionTicks * swarm.tickMs * 1000;
    const slowUs = Math.floor((electionUs * (11 + random.below(7))) / 10);
    const inward = others.map(({ node }): DirectedLink => [node, host.node]);
    const outward = others.map(({ node }): DirectedLink => [host.node, node]);
    host.met("late echoes");
    this.#isPartitioned = true;
    network.setSlow(inward, slowUs);
    scheduler.schedule(slowUs + random.below(electionUs), undefined, () => {
      if (isOn()) network.setCut(outward, true);
    });
    scheduler.schedule(4 * electionUs, undefined, () => {
      this.#isPartitioned = false;
      if (!isOn()) return;
      network.setCut(outward, false);
      network.setSlow(inward, 0);
    });
  }

  #pause(host: CellHost): void {
    const { random, swarm, scheduler } = this.#options;
    if (!host.life.alive || host.isPaused) return;
    host.met("paused");
    const life: ProcessLife = host.life;
    host.pause();
    // Short ones are the frequent ones.
    const longest = random.chance(1, 2) ? swarm.pauseUsMax : Math.max(1, Math.floor(swarm.pauseUsMax / 20));
    scheduler.schedule(pauseUsMin + random.below(longest), undefined, () => {
      if (host.life === life) host.resume();
    });
  }

  #jump(host: CellHost): void {
    const byMs = wallJumpsMs[this.#options.random.below(wallJumpsMs.length)] as number;
    host.met(byMs < 0 ? "wall clock set back" : "wall clock set forward");
    host.wall.jump(byMs);
  }

  /** Sometimes two at once; and sometimes the power goes at whoever began it, before long. */
  #switch(host: CellHost): void {
    const { random, swarm, scheduler, isOn } = this.#options;
    const draw = (): string => swarm.engines[random.below(swarm.engines.length)] as string;
    host.reconfigure(draw());
    if (random.chance(1, 4)) this.#anyHost().reconfigure(draw());
    if (!random.chance(1, 4)) return;
    const { life } = host;
    scheduler.schedule(random.below(switchUsMax), undefined, () => {
      if (!isOn() || host.life !== life || !life.alive) return;
      host.met("killed during a switch");
      host.crash("during a switch");
    });
  }

  #outage(): void {
    const { service, scheduler, random } = this.#options;
    if (service === undefined) return;
    service.isDown = true;
    scheduler.schedule(random.below(outageUsMax), undefined, () => (service.isDown = false));
  }

  #orderlyStop(host: CellHost): void {
    if (!host.isReachable || host.isPaused) return;
    host.met("orderly stop");
    host.stop();
  }

  #transfer(): void {
    const leader = this.#leader();
    if (leader === undefined) return;
    const { voters } = leader.group.inspect().configuration;
    const to = voters[this.#options.random.below(Math.max(1, voters.length))];
    if (to === undefined) return;
    leader.host.met("leadership transferred");
    leader.group.transferLeadership(to);
  }

  /** Takes a voter out, puts one in, or replaces one, whoever lives on this many nodes. */
  #changeMembers(): void {
    const leader = this.#raftLeader();
    const { random, hosts, swarm } = this.#options;
    if (leader === undefined || hosts.some((host) => host.isDamaged)) return;
    const { configuration } = leader.group.inspect();
    const { voters, learners } = configuration;
    const living = hosts.map(({ member }) => member).filter((member) => member !== undefined) as MemberId[];
    const nodesIn = voters.map(nodeOf);
    const outside = living.filter((member) => !nodesIn.includes(nodeOf(member)));
    const next = new Set(voters);
    const [leaving] = shuffled(voters, random);
    const [coming] = shuffled(outside, random);
    if (leaving !== undefined && voters.length > 1 && random.chance(2, 3)) next.delete(leaving);
    if (coming !== undefined && random.chance(2, 3)) next.add(coming);
    if (next.size < 2) return;
    const ascending = [...next].sort((left, right) => left - right);
    leader.host.met("members changed");
    if (swarm.partitions > 0 && random.chance(1, 3)) this.#strand(leader.host);
    const remaining = learners.filter((member) => !next.has(member));
    // Refused, or unknown: the configuration tells.
    Promise.resolve(leader.group.changeMembers(ascending, remaining)).catch(() => undefined);
    // As operators do it: in every group, if nothing comes between.
    for (const group of this.#options.openGroups()) {
      const other = group === leader.group.group || random.chance(1, 4) ? undefined : this.#leaderOf(group);
      if (other?.group.engine === "raft")
        Promise.resolve(other.group.changeMembers(ascending, [])).catch(() => undefined);
    }
  }

  /** An operator who puts things right: whoever was taken out is let in again, first to listen. */
  letIn(hosts: readonly CellHost[]): void {
    for (const group of this.#options.openGroups()) {
      const leader = this.#leaderOf(group);
      if (leader?.group.engine === "raft") this.#letInto(leader, hosts);
    }
  }

  #letInto(leader: Leader, hosts: readonly CellHost[]): void {
    const { voters, learners, outgoing } = leader.group.inspect().configuration;
    const members = hosts.map(({ member }) => member).filter((member) => member !== undefined) as MemberId[];
    // A new disk asks by itself; and where an old member of its node is still in, that one is replaced.
    const nodesIn = [...voters, ...learners].map(nodeOf);
    const missing = members.filter((member) => !nodesIn.includes(nodeOf(member)));
    if (missing.length === 0 || outgoing.length > 0) return;
    const listening = [...learners, ...missing].sort((left, right) => left - right);
    Promise.resolve(leader.group.changeMembers(voters, listening)).catch(() => undefined);
  }
}
