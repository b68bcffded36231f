/**
 * Random exploration of a small cell: three to five members with explicit disks and network, under loss, duplication,
 * reordering, partitions, crashes between any two effects, changes of members, trimmed logs, snapshots, transfers, seals.
 * The invariants hold after every step; then all faults end, and the cell must make progress. Each seed draws its own
 * mix (swarm testing), so that some seeds go deep where others never look.
 */
import { type Entry, logIndex, type MemberId, memberId } from "@quipu/consensus";
import { type Random, SeededRandom } from "@quipu/core";
import type { RaftMutation } from "../../src/raft/mutation.ts";
import { Cell, type CellEvent, foundingState, newcomerState, type Seat } from "./cell.ts";
import { newRaft, type Settings, settingsOf } from "./cores.ts";
import { describeView } from "./describe.ts";
import { Invariants } from "./invariants.ts";

const poolSize = 5;
/** More messages than this on their way: the oldest are lost, so that a seed does not only grow a queue. */
const networkMax = 60;
/** Ticks after which a healed cell must have a leader and everybody the same log: some ten election timeouts. */
const healingTicksMax = 300;

const actions = [
  "tick",
  "pause",
  "depose",
  "deliver",
  "deliverLate",
  "duplicate",
  "drop",
  "persist",
  "crash",
  "restart",
  "propose",
  "read",
  "changeMembers",
  "transfer",
  "trim",
  "install",
  "partition",
  "heal",
  "unreachable",
  "strayAppend",
  "seal",
] as const;
type Action = (typeof actions)[number];
/** Those that are not time, network, disk or crashes. */
type Request = Extract<
  Action,
  | "propose"
  | "read"
  | "changeMembers"
  | "transfer"
  | "trim"
  | "install"
  | "partition"
  | "heal"
  | "unreachable"
  | "strayAppend"
  | "seal"
>;

/** Chances of each action: that of the first number, times one of the others, drawn per seed. Zero: not in this seed. */
const weights: Readonly<Record<Action, readonly [number, ...number[]]>> = {
  tick: [10, 1, 2],
  pause: [1, 0, 1, 4],
  depose: [1, 0, 0, 1, 3],
  deliver: [100, 1, 2],
  deliverLate: [10, 0, 1, 3],
  duplicate: [3, 0, 1, 2],
  drop: [4, 0, 1, 4],
  persist: [15, 1, 4, 8],
  crash: [1, 0, 1, 3],
  restart: [3, 1, 3],
  propose: [8, 1, 2],
  read: [3, 0, 1, 3, 6],
  changeMembers: [2, 0, 1, 2, 5],
  transfer: [1, 0, 1, 6],
  trim: [2, 0, 1, 4],
  install: [4, 1],
  partition: [2, 0, 1, 4],
  heal: [3, 1, 2],
  unreachable: [1, 0, 1],
  strayAppend: [2, 0, 1, 3],
  seal: [1, 0, 0, 0, 1],
};

export interface ExplorationResult {
  readonly seed: number;
  /** What broke; undefined if nothing did. */
  readonly failure: string | undefined;
  readonly steps: number;
  readonly committed: number;
  /** How often each kind of effect or event was seen. */
  readonly seen: ReadonlyMap<string, number>;
  /** Over every message in its order: equal seeds must have equal ones. */
  readonly traceHash: number;
}

/** Explores one seed. Nothing but the seed and the mutation decides what happens. */
export function explore(seed: number, steps: number, mutation?: RaftMutation): ExplorationResult {
  const exploration = new Exploration(seed, mutation);
  let step = 0;
  let failure: string | undefined;
  try {
    for (; step < steps; step++) exploration.act();
    exploration.demandProgress();
  } catch (error) {
    failure = `step ${step}: ${error instanceof Error ? error.message : String(error)}`;
  }
  return {
    seed,
    failure,
    steps: step,
    committed: exploration.committed,
    seen: exploration.seen,
    traceHash: exploration.traceHash,
  };
}

class Exploration {
  readonly seen = new Map<string, number>();
  traceHash = 0;
  readonly #random: Random;
  readonly #cell: Cell;
  readonly #invariants = new Invariants();
  readonly #chances: readonly (readonly [Action, number])[];
  readonly #chanceSum: number;
  /** Who was told to fetch a snapshot, of what index at least. */
  readonly #needs = new Map<MemberId, number>();
  #requests = 0;
  #records = 0;

  constructor(seed: number, mutation: RaftMutation | undefined) {
    const random = new SeededRandom(seed);
    this.#random = random;
    this.#chances = actions.map((action) => {
      const [base, ...factors] = weights[action];
      return [action, base * (factors[random.below(factors.length)] as number)];
    });
    this.#chanceSum = this.#chances.reduce((sum, [, chance]) => sum + chance, 0);
    const settings = drawSettings(random);
    this.#cell = new Cell({
      create: (member, restored) => {
        const own = new SeededRandom(random.uint32());
        return newRaft({ member, random: own, settings, restored, ...(mutation === undefined ? {} : { mutation }) });
      },
      watch: (event) => this.#watch(event),
    });
    const founders = Array.from({ length: 1 + random.below(poolSize) }, (_, place) => memberId(place + 1));
    for (const founder of founders) this.#cell.add(founder, foundingState(founders));
    for (let member = founders.length + 1; member <= poolSize; member++) {
      this.#cell.add(memberId(member), newcomerState());
    }
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
      return;
    }
  }

  /** All faults end: within some election timeouts there is a leader, and everybody in its configuration has its log. */
  demandProgress(): void {
    this.#cell.heal();
    for (const seat of this.#cell.seats) if (seat.core === undefined) this.#cell.restart(seat.member);
    for (let tick = 0; tick < healingTicksMax; tick++) {
      for (const { member } of this.#cell.seats) this.#cell.step(member, { type: "tick" });
      this.#cell.stabilize();
      for (const member of this.#needs.keys()) this.#install(member);
      this.#cell.stabilize();
      if (tick % 20 === 19 && this.#isSettled()) return;
      if (tick % 20 === 10) for (const { member } of this.#leaders()) this.#propose(member);
    }
    const views = this.#cell.seats.map(({ core }) => (core === undefined ? "down" : describeView(core.inspect())));
    throw new Error(`Progress: not settled after ${healingTicksMax} ticks:\n${views.join("\n")}`);
  }

  #isSettled(): boolean {
    const leader = this.#leaders().at(-1)?.core?.inspect();
    if (leader === undefined || leader.committed < leader.last || leader.delivered < leader.last) return false;
    const followers = leader.progress.map(({ member }) => this.#cell.core(member).inspect());
    return followers.every(
      ({ delivered, leader: followed }) => delivered === leader.last && followed === leader.member,
    );
  }

  #leaders(): readonly Seat[] {
    const leaders = this.#cell.seats.filter(({ core }) => core?.inspect().role === "leader");
    const termOf = (seat: Seat): number => seat.core?.inspect().term ?? 0;
    return leaders.sort((a, b) => termOf(a) - termOf(b));
  }

  #take(action: Action): void {
    const random = this.#random;
    const { network } = this.#cell;
    switch (action) {
      case "tick":
        this.#tickSomebody();
        break;
      case "pause":
        this.#pause();
        break;
      case "depose":
        this.#depose();
        break;
      case "deliver":
        // Mostly in order; the oldest few may overtake one another.
        if (network.length > 0) this.#cell.deliver(this.#pick(network.slice(0, 4)));
        else this.#tickSomebody();
        break;
      case "deliverLate":
        if (network.length > 0) this.#cell.deliver(this.#pick(network));
        break;
      case "duplicate":
        if (network.length > 0) this.#cell.deliver(this.#pick(network), true);
        break;
      case "drop":
        if (network.length > 0) this.#cell.drop(this.#pick(network));
        break;
      case "persist": {
        const busy = this.#cell.seats.filter(({ pending }) => pending.length > 0);
        if (busy.length > 0) this.#cell.persist(this.#pick(busy).member, 1 + random.below(3));
        break;
      }
      case "crash": {
        const crash = ({ member, pending }: Seat): void => this.#cell.crash(member, random.below(pending.length + 1));
        // Leaders more often: with them something is under way.
        if (random.chance(1, 2)) this.#withLeader(crash);
        else this.#withUp(crash);
        break;
      }
      case "restart": {
        const down = this.#cell.seats.filter(({ core }) => core === undefined);
        if (down.length > 0) this.#cell.restart(this.#pick(down).member);
        break;
      }
      default:
        this.#takeRequest(action);
    }
    if (this.#cell.network.length > networkMax) this.#cell.network = this.#cell.network.slice(-networkMax);
  }

  #takeRequest(action: Request): void {
    const random = this.#random;
    switch (action) {
      case "propose":
        this.#withLeader(({ member }) => this.#propose(member));
        break;
      case "read":
        this.#withLeader(({ member }) => this.#cell.step(member, { type: "readBarrier", request: ++this.#requests }));
        break;
      case "changeMembers":
        this.#withLeader(({ member }) => this.#changeMembers(member));
        break;
      case "transfer":
        this.#withLeader(({ member }) => {
          this.#cell.step(member, { type: "transferLeadership", to: this.#pick(this.#cell.seats).member });
        });
        break;
      case "trim":
        this.#withUp(({ member, core, delivered }) => {
          const start = core?.inspect().start.index ?? 0;
          const upTo = logIndex(start + random.below(delivered - start + 1));
          this.#cell.step(member, { type: "trim", upTo });
        });
        break;
      case "install":
        this.#withUp(({ member }) => this.#install(member));
        break;
      case "partition":
        this.#partition();
        break;
      case "heal":
        this.#cell.heal();
        break;
      case "unreachable":
        this.#withLeader(({ member }) => {
          this.#cell.step(member, { type: "peerUnreachable", member: this.#pick(this.#cell.seats).member });
        });
        break;
      case "strayAppend":
        this.#strayAppend();
        break;
      case "seal":
        if (random.chance(1, 10)) {
          this.#withLeader(({ member }) => this.#cell.step(member, { type: "seal", request: ++this.#requests }));
        }
        break;
      default:
        action satisfies never;
    }
  }

  /** A leader is cut off, and before it knows the others elect another one and go on. */
  #depose(): void {
    const deposed = this.#leaders().at(-1);
    if (deposed === undefined) return;
    const others = this.#cell.seats.filter((seat) => seat !== deposed && seat.core !== undefined);
    this.#cell.heal();
    for (const { member } of this.#cell.seats) {
      this.#cell.cut(member, deposed.member);
      this.#cell.cut(deposed.member, member);
    }
    for (let tick = 0; tick < 15; tick++) {
      for (const { member } of others) this.#cell.step(member, { type: "tick" });
      this.#cell.stabilize(others.map(({ member }) => member));
    }
    const successor = this.#leaders().at(-1);
    if (successor === undefined || successor === deposed) return;
    this.#propose(successor.member);
    if (this.#random.chance(2, 3)) this.#cell.stabilize(others.map(({ member }) => member));
  }

  #tickSomebody(): void {
    this.#withUp(({ member }) => this.#cell.step(member, { type: "tick" }));
  }

  /** As if the leader, or somebody, were stopped for a while: time passes for all others, in any order. */
  #pause(): void {
    const paused = this.#pick(this.#leaders().length > 0 ? this.#leaders() : this.#cell.seats);
    const others = this.#cell.seats.filter((seat) => seat !== paused && seat.core !== undefined);
    if (others.length === 0) return;
    for (let tick = 0; tick < 8 * others.length; tick++) {
      this.#cell.step(this.#pick(others).member, { type: "tick" });
    }
  }

  #propose(member: MemberId): void {
    const count = 1 + this.#random.below(3);
    const records = Array.from({ length: count }, () => new TextEncoder().encode(`x${++this.#records}`));
    this.#cell.step(member, { type: "propose", request: ++this.#requests, records });
  }

  /**
   * A message that the rules let a leader send, although this implementation's leader chooses others: from any place of
   * its log, any number of entries. Followers must not depend on how leaders search.
   */
  #strayAppend(): void {
    const leaders = this.#leaders();
    if (leaders.length === 0) return;
    const { member, core } = this.#pick(leaders);
    if (core === undefined) return;
    const { start, last, term, committed } = core.inspect();
    const previousIndex = logIndex(start.index + this.#random.below(last - start.index + 1));
    const previousTerm = previousIndex === start.index ? start.term : core.entry(previousIndex)?.term;
    if (previousTerm === undefined) return;
    const entries: Entry[] = [];
    for (let count = this.#random.below(3); count > 0; count--) {
      const entry = core.entry(logIndex(previousIndex + entries.length + 1));
      if (entry !== undefined) entries.push(entry);
    }
    const append = { previousIndex, previousTerm, entries, commit: committed, barrier: 0 };
    this.#cell.send(member, this.#pick(this.#cell.seats).member, { type: "appendEntries", term, ...append });
  }

  #changeMembers(member: MemberId): void {
    const voters: MemberId[] = [];
    const learners: MemberId[] = [];
    for (const { member: other } of this.#cell.seats) {
      const draw = this.#random.below(5);
      if (draw < 3) voters.push(other);
      else if (draw < 4) learners.push(other);
    }
    this.#cell.step(member, { type: "changeMembers", request: ++this.#requests, voters, learners });
  }

  /** Whoever was told to, fetches a snapshot from anybody who has one that is late enough; or it is too late for it. */
  #install(member: MemberId): void {
    const atLeast = this.#needs.get(member);
    if (atLeast === undefined || this.#cell.seat(member).core === undefined) return;
    const sources = this.#cell.seats.filter((seat) => seat.member !== member && seat.core !== undefined);
    for (const source of sources) {
      const start = source.core?.startAt(logIndex(Math.max(0, source.delivered - this.#random.below(2))));
      const newest = source.core?.startAt(source.core.inspect().start.index);
      const offered = start ?? newest;
      if (offered === undefined || offered.index < atLeast) continue;
      this.#needs.delete(member);
      this.#count("installed");
      this.#cell.step(member, { type: "installed", start: offered });
      return;
    }
  }

  /** Cuts links at random: one-way and partial partitions are the rule, whole ones a special case. */
  #partition(): void {
    this.#cell.heal();
    // A leader that is cut off with entries of its own is what the next leader has to put right.
    const leaders = this.#leaders();
    const isolated = this.#pick(leaders.length > 0 && this.#random.chance(1, 2) ? leaders : this.#cell.seats).member;
    for (const { member: from } of this.#cell.seats) {
      for (const { member: to } of this.#cell.seats) {
        if (this.#random.chance(1, 6) || ((from === isolated) !== (to === isolated) && this.#random.chance(2, 3))) {
          this.#cell.cut(from, to);
        }
      }
    }
  }

  #withUp(take: (seat: Seat) => void): void {
    const up = this.#cell.seats.filter(({ core }) => core !== undefined);
    if (up.length > 0) take(this.#pick(up));
  }

  /** Mostly somebody who takes itself for the leader, else anybody. */
  #withLeader(take: (seat: Seat) => void): void {
    const leaders = this.#leaders();
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
      for (const part of [
        from,
        to,
        message.type.length,
        message.term,
        "entries" in message ? message.entries.length : 0,
      ]) {
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
    } else if (effect.type === "configuration") {
      this.#count(effect.configuration.outgoing.length > 0 ? "joint" : "simple");
    } else if (effect.type !== "send") this.#count(effect.type);
  }

  #count(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }
}

/** Small windows and messages, so that few entries reach every limit. */
function drawSettings(random: Random): Settings {
  const pick = (...values: readonly number[]): string => String(values[random.below(values.length)]);
  return settingsOf({
    electionTicks: pick(3, 4, 6),
    heartbeatTicks: pick(1, 2),
    messageEntriesMax: pick(1, 2, 100),
    inflightMessagesMax: pick(1, 2, 8),
    promotionLagEntriesMax: pick(1, 3, 100),
    uncommittedBytesMax: pick(200, 100_000),
  });
}
