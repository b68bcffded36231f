/**
 * Random exploration of a small cell: one to five members with explicit disks and network, under loss, duplication, any
 * reordering, partitions, crashes between any two effects, trims, snapshots, hand-overs, seals. The invariants hold after
 * every step; then all faults end, and the cell must make progress. Each seed draws its own mix.
 */
import {
  defaultMultiPaxosSettings,
  logIndex,
  type MemberId,
  memberId,
  MultiPaxos,
  type MultiPaxosMutation,
  type MultiPaxosSettings,
} from "@quipu/consensus";
import { type Random, SeededRandom } from "@quipu/core";
import { foundingState } from "../cell.ts";
import { type CellEvent, leaderOf, PaxosCell, type Seat, writtenSlots } from "./cell.ts";
import { describeView } from "./describe.ts";
import { PaxosInvariants } from "./invariants.ts";

const networkMax = 80;
const healingTicksMax = 300;

/** Chances of each action: that of the first number, times one of the others, drawn per seed. Zero: not in this seed. */
const weights = {
  tick: [12, 1, 2],
  pause: [1, 0, 1, 3],
  coup: [1, 0, 1, 3],
  deliver: [100, 1, 2],
  deliverAny: [12, 1, 4, 12],
  duplicate: [3, 0, 1, 2],
  drop: [4, 0, 1, 4],
  persist: [15, 1, 4, 8],
  crash: [1, 0, 1, 3],
  restart: [3, 1, 3],
  propose: [8, 1, 2],
  read: [4, 0, 1, 3, 6],
  transfer: [1, 0, 1, 4],
  trim: [2, 0, 1, 4],
  install: [4, 1],
  partition: [2, 0, 1, 4],
  heal: [3, 1, 2],
  unreachable: [1, 0, 1],
  seal: [1, 0, 0, 0, 1, 4],
} as const;
type Action = keyof typeof weights;
const actions = Object.keys(weights) as Action[];

export interface ExplorationResult {
  readonly failure: string | undefined;
  readonly committed: number;
  readonly seen: ReadonlyMap<string, number>;
  /** Over every message in its order: equal seeds must have equal ones. */
  readonly traceHash: number;
}

/** Explores one seed. Nothing but the seed and the mutation decides what happens. */
export function explore(seed: number, steps: number, mutation?: MultiPaxosMutation): ExplorationResult {
  const exploration = new Exploration(seed, mutation);
  let step = 0;
  let failure: string | undefined;
  try {
    for (; step < steps; step++) exploration.act();
    exploration.demandProgress();
  } catch (error) {
    failure = `step ${step}: ${error instanceof Error ? error.message : String(error)}`;
  }
  const { committed, seen, traceHash } = exploration;
  return { failure, committed, seen, traceHash };
}

class Exploration {
  readonly seen = new Map<string, number>();
  traceHash = 0;
  readonly #random: Random;
  readonly #cell: PaxosCell;
  readonly #invariants: PaxosInvariants;
  readonly #chances: readonly (readonly [Action, number])[];
  readonly #chanceSum: number;
  readonly #needs = new Map<MemberId, number>();
  #requests = 0;
  #records = 0;

  constructor(seed: number, mutation: MultiPaxosMutation | undefined) {
    const random = new SeededRandom(seed);
    this.#random = random;
    this.#chances = actions.map((action) => {
      const [base, ...factors] = weights[action];
      return [action, base * (factors[random.below(factors.length)] as number)];
    });
    this.#chanceSum = this.#chances.reduce((sum, [, chance]) => sum + chance, 0);
    const size = [1, 2, 3, 3, 3, 4, 5, 5][random.below(8)] as number;
    const settings = drawSettings(random, size);
    const majority = Math.floor(size / 2) + 1;
    this.#invariants = new PaxosInvariants(() => settings.phase2Quorum || majority);
    this.#cell = new PaxosCell({
      create: (member, restored) => {
        const own = new SeededRandom(random.uint32());
        return new MultiPaxos({
          member,
          random: own,
          settings,
          restored,
          ...(mutation === undefined ? {} : { mutation }),
        });
      },
      watch: (event) => this.#watch(event),
      write: writtenSlots,
    });
    const founders = Array.from({ length: size }, (_, place) => memberId(place + 1));
    for (const founder of founders) this.#cell.add(founder, foundingState(founders));
  }

  get committed(): number {
    return this.#invariants.committedMax;
  }

  act(): void {
    let draw = this.#random.below(this.#chanceSum);
    for (const [action, chance] of this.#chances) {
      draw -= chance;
      if (draw >= 0) continue;
      this.#take(action);
      break;
    }
    if (this.#cell.network.length > networkMax) this.#cell.network = this.#cell.network.slice(-networkMax);
  }

  /** All faults end: within some election timeouts there is a leader, and everybody has its log. */
  demandProgress(): void {
    this.#cell.heal();
    for (const seat of this.#cell.seats) if (seat.core === undefined) this.#cell.restart(seat.member);
    for (let tick = 0; tick < healingTicksMax; tick++) {
      for (const { member } of this.#cell.seats) this.#cell.step(member, { type: "tick" });
      this.#cell.stabilize();
      for (const [member, atLeast] of this.#needs) this.#install(member, atLeast);
      this.#cell.stabilize();
      if (tick % 20 === 19 && this.#isSettled()) return;
      const leader = leaderOf(this.#cell);
      if (tick % 20 === 10 && leader !== undefined) this.#propose(leader);
    }
    const views = this.#cell.seats.map(({ core }) => (core === undefined ? "down" : describeView(core.inspect())));
    throw new Error(`Progress: not settled after ${healingTicksMax} ticks:\n${views.join("\n")}`);
  }

  #isSettled(): boolean {
    const member = leaderOf(this.#cell);
    if (member === undefined) return false;
    const leader = this.#cell.core(member).inspect();
    const end = leader.sealedAt ?? leader.last;
    return this.#cell.seats.every(({ core }) => {
      const view = core?.inspect();
      return view?.delivered === end && view.leader === member;
    });
  }

  #take(action: Action): void {
    const random = this.#random;
    const { network } = this.#cell;
    const flight = network.length === 0 ? undefined : this.#pick(network);
    switch (action) {
      case "tick":
        this.#withUp(({ member }) => this.#cell.step(member, { type: "tick" }));
        break;
      case "pause": {
        const paused = this.#pick(this.#cell.seats);
        for (let tick = 0; tick < 12; tick++) {
          this.#withUp(({ member }) => {
            if (member !== paused.member) this.#cell.step(member, { type: "tick" });
          });
        }
        break;
      }
      case "coup":
        this.#coup();
        break;
      case "deliver":
        if (network.length > 0) this.#cell.deliver(this.#pick(network.slice(0, 4)));
        break;
      case "deliverAny":
      case "duplicate":
        if (flight !== undefined) this.#cell.deliver(flight, action === "duplicate");
        break;
      case "drop":
        if (flight !== undefined) this.#cell.drop(flight);
        break;
      case "persist": {
        const busy = this.#cell.seats.filter(({ pending }) => pending.length > 0);
        if (busy.length > 0) this.#cell.persist(this.#pick(busy).member, 1 + random.below(3));
        break;
      }
      case "crash":
        this.#withLeader(({ member, pending }) => this.#cell.crash(member, random.below(pending.length + 1)));
        break;
      case "restart": {
        const down = this.#cell.seats.filter(({ core }) => core === undefined);
        if (down.length > 0) this.#cell.restart(this.#pick(down).member);
        break;
      }
      default:
        this.#request(action);
    }
  }

  #request(
    action: Extract<
      Action,
      "propose" | "read" | "transfer" | "trim" | "install" | "partition" | "heal" | "unreachable" | "seal"
    >,
  ): void {
    const random = this.#random;
    const other = this.#pick(this.#cell.seats).member;
    const step = (input: Parameters<PaxosCell["step"]>[1]): void =>
      this.#withLeader(({ member }) => this.#cell.step(member, input));
    switch (action) {
      case "propose":
        this.#withLeader(({ member }) => this.#propose(member));
        break;
      case "read":
        step({ type: "readBarrier", request: ++this.#requests });
        break;
      case "transfer":
        step({ type: "transferLeadership", to: other });
        break;
      case "trim":
        this.#withUp(({ member, core, delivered }) => {
          const start = core?.inspect().start.index ?? 0;
          this.#cell.step(member, { type: "trim", upTo: logIndex(start + random.below(delivered - start + 1)) });
        });
        break;
      case "install":
        this.#withUp(({ member }) => this.#install(member, random.chance(1, 4) ? 0 : this.#needs.get(member)));
        break;
      case "partition":
        this.#partition();
        break;
      case "heal":
        this.#cell.heal();
        break;
      case "unreachable":
        step({ type: "peerUnreachable", member: other });
        break;
      case "seal":
        if (random.chance(1, 8)) step({ type: "seal", request: ++this.#requests });
        break;
      default:
        action satisfies never;
    }
  }

  /** Some hear nobody else, elect one of them if they can, and go on for a while. */
  #coup(): void {
    const rebels = this.#cell.seats.filter(({ core }) => core !== undefined && this.#random.chance(2, 3));
    const members = rebels.map(({ member }) => member);
    for (let tick = 0; tick < 14; tick++) {
      for (const { member, core } of rebels) if (core !== undefined) this.#cell.step(member, { type: "tick" });
      if (this.#random.chance(3, 4)) this.#cell.stabilize(members);
    }
    const leader = leaderOf(this.#cell);
    if (leader === undefined) return;
    this.#propose(leader);
    if (this.#random.chance(1, 2)) this.#cell.stabilize(members);
  }

  #propose(member: MemberId): void {
    const count = 1 + this.#random.below(3);
    const records = Array.from({ length: count }, () => new TextEncoder().encode(`x${++this.#records}`));
    this.#cell.step(member, { type: "propose", request: ++this.#requests, records });
  }

  /** Whoever was told to, or feels like it, fetches a snapshot from anybody who has one that is late enough. */
  #install(member: MemberId, atLeast: number | undefined): void {
    if (atLeast === undefined || this.#cell.seat(member).core === undefined) return;
    for (const source of this.#cell.seats) {
      if (source.member === member || source.core === undefined) continue;
      const at = logIndex(Math.max(0, source.delivered - this.#random.below(2)));
      const start = source.core.startAt(at) ?? source.core.startAt(source.core.inspect().start.index);
      if (start === undefined || start.index < atLeast) continue;
      this.#needs.delete(member);
      this.#cell.step(member, { type: "installed", start });
      return;
    }
  }

  /** Cuts links at random: one-way and partial partitions are the rule. */
  #partition(): void {
    this.#cell.heal();
    const victim = this.#pick(this.#cell.seats).member;
    const isolates = this.#random.chance(1, 3);
    for (const { member: from } of this.#cell.seats) {
      for (const { member: to } of this.#cell.seats) {
        const cut = isolates ? from === victim || to === victim : this.#random.chance(1, 3);
        if (cut) this.#cell.cut(from, to);
      }
    }
  }

  #withUp(take: (seat: Seat) => void): void {
    const up = this.#cell.seats.filter(({ core }) => core !== undefined);
    if (up.length > 0) take(this.#pick(up));
  }

  /** Mostly somebody who takes itself for the leader, else anybody. */
  #withLeader(take: (seat: Seat) => void): void {
    const leaders = this.#cell.seats.filter(({ core }) => core?.inspect().role === "leader");
    if (leaders.length > 0 && this.#random.chance(9, 10)) take(this.#pick(leaders));
    else this.#withUp(take);
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#random.below(items.length)] as Item;
  }

  #watch(event: CellEvent): void {
    this.#invariants.watch(event);
    if (event.type === "sent") {
      const { from, to, message } = event.flight;
      const size = "entries" in message ? message.entries.length : 0;
      for (const part of [from, to, message.type.length, "ballot" in message ? message.ballot : 0, size]) {
        this.traceHash = (Math.imul(this.traceHash, 31) + part) | 0;
      }
    }
    if (event.type === "crashed") this.#needs.delete(event.seat.member);
    if (event.type !== "effect") return;
    const { effect, seat } = event;
    if (effect.type === "needSnapshot") this.#needs.set(seat.member, effect.atLeast);
    if (effect.type === "role") this.#count(effect.role);
    else if (effect.type === "persist") {
      if (effect.truncateFrom !== undefined) this.#count("truncate");
      if (effect.restart !== undefined) this.#count("restart");
      if (effect.trim !== undefined) this.#count("trim");
      if (effect.append.some(({ kind }) => kind === "noop")) this.#count("noop");
    } else if (effect.type !== "send") this.#count(effect.type);
  }

  #count(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }
}

/** Small windows and messages, so that few entries reach every limit; quorums of any kind. */
function drawSettings(random: Random, size: number): MultiPaxosSettings {
  const pick = (...values: readonly number[]): number => values[random.below(values.length)] as number;
  const phase1Quorum = random.chance(2, 3) ? 0 : 1 + random.below(size);
  return {
    ...defaultMultiPaxosSettings,
    electionTicks: pick(3, 4, 6),
    heartbeatTicks: pick(1, 2),
    messageEntriesMax: pick(1, 2, 100),
    inflightMessagesMax: pick(1, 2, 8),
    windowSlotsMax: pick(4, 20, 1000),
    chosenNotedSlots: pick(1, 4, 1000),
    phase1Quorum,
    phase2Quorum: phase1Quorum === 0 ? 0 : size + 1 - phase1Quorum,
  };
}
