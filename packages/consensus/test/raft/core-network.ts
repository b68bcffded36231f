/**
 * Cores in memory: a network that holds every message until somebody decides what becomes of it, disks that know what
 * is durable, and the invariants of Raft (Figure 3), checked from outside.
 */
import { type Random, SeededRandom } from "@quipu/core";
import {
  type Configuration,
  type CoreView,
  type Effect,
  type Entry,
  foundingConfiguration,
  type Input,
  isQuorum,
  type LogIndex,
  type LogStart,
  type MemberId,
  memberId,
  Raft,
  type RaftMessage,
  type RaftMutation,
  type RaftSettings,
  defaultRaftSettings,
  type RestoredState,
  sameConfiguration,
  type Term,
} from "@quipu/consensus";
import { assert, checkTrue, holds, type Persist, sameContent, written } from "./core-disk.ts";

type RaftEffect = Effect<RaftMessage>;

interface Node {
  readonly member: MemberId;
  core: Raft | undefined;
  durable: RestoredState;
  /** Highest snapshot of state that is durable; survives crashes. */
  snapshot: LogStart | undefined;
  underWay: Persist[];
  /** Of this life. */
  seen: { term: number; committed: number; delivered: number };
  reads: Map<number, number>;
}

export interface InTransit {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly message: RaftMessage;
}

export interface CoreNetworkOptions {
  readonly size: number;
  readonly random: Random;
  readonly mutation?: RaftMutation;
  readonly settings?: Partial<RaftSettings>;
  /** 1 in so many effects is followed by a crash of its node. */
  readonly crashOneIn?: number;
}

const none = 0 as Term;

export class CoreNetwork {
  readonly inTransit: InTransit[] = [];
  readonly replies: RaftEffect[] = [];
  readonly #nodes = new Map<MemberId, Node>();
  readonly #options: CoreNetworkOptions;
  readonly #random: Random;
  readonly #founding: Configuration;
  readonly #leaders = new Map<number, MemberId>();
  /** What the group has decided, by index. */
  readonly #chosen: { readonly entry: Entry; readonly committedIn: Term }[] = [];
  #chosenUpTo = 0;
  #requests = 0;
  #snapshotsNeeded: { readonly to: MemberId; readonly from: MemberId }[] = [];
  /** Of the first committed seal. */
  #sealedAt: number | undefined;
  #written = 0;
  /** While healing nothing crashes. */
  calm = true;

  constructor(options: CoreNetworkOptions) {
    this.#options = options;
    this.#random = options.random;
    const voters = Array.from({ length: options.size }, (_, at) => memberId(at + 1));
    this.#founding = foundingConfiguration(voters);
    for (const member of voters) this.add(member, this.#founding);
  }

  add(member: MemberId, configuration: Configuration): void {
    const start: LogStart = { index: 0 as LogIndex, term: none, configuration };
    const durable: RestoredState = { hardState: { term: none, vote: undefined }, start, entries: [] };
    const node: Node = {
      member,
      core: undefined,
      durable,
      snapshot: undefined,
      underWay: [],
      seen: { term: 0, committed: 0, delivered: 0 },
      reads: new Map(),
    };
    this.#nodes.set(member, node);
    this.start(member);
  }

  members(): readonly MemberId[] {
    return [...this.#nodes.keys()];
  }

  alive(): readonly MemberId[] {
    return this.members().filter((member) => this.#node(member).core !== undefined);
  }

  get chosenUpTo(): number {
    return this.#chosenUpTo;
  }

  view(member: MemberId): CoreView {
    return this.#core(member).inspect();
  }

  start(member: MemberId): void {
    const node = this.#node(member);
    node.core = new Raft({
      member,
      random: new SeededRandom(this.#random.uint32()),
      settings: { ...defaultRaftSettings, ...this.#options.settings },
      restored: node.durable,
      ...(this.#options.mutation === undefined ? {} : { mutation: this.#options.mutation }),
    });
    node.seen = { term: node.durable.hardState.term, committed: 0, delivered: 0 };
    // What a real shell does too: the state may be ahead of the log.
    if (node.snapshot !== undefined && node.snapshot.index > node.durable.start.index) {
      this.step(member, { type: "installed", start: node.snapshot });
    }
  }

  /** Forgets all but what was durable; of what was under way, a prefix may have become so. */
  crash(member: MemberId): void {
    const node = this.#node(member);
    const survives = this.#random.below(node.underWay.length + 1);
    for (const persist of node.underWay.slice(0, survives)) {
      node.durable = written(node.member, node.durable, persist);
      if (this.#random.chance(1, 2)) this.#post(node, persist);
    }
    node.underWay = [];
    node.reads.clear();
    node.core = undefined;
  }

  step(member: MemberId, input: Input<RaftMessage>): void {
    const node = this.#node(member);
    if (node.core === undefined) return;
    for (const effect of node.core.step(input)) {
      this.#carryOut(node, effect);
      const { crashOneIn } = this.#options;
      if (!this.calm && crashOneIn !== undefined && this.#random.below(crashOneIn) === 0) {
        this.crash(member);
        return;
      }
    }
    this.#observe(node, input.type === "installed");
  }

  tick(member: MemberId): void {
    this.step(member, { type: "tick" });
  }

  /** The oldest persist of this member becomes durable. */
  complete(member: MemberId): void {
    const node = this.#node(member);
    const persist = node.underWay.shift();
    if (persist === undefined) return;
    node.durable = written(node.member, node.durable, persist);
    this.#post(node, persist);
    this.step(member, { type: "persisted", token: persist.token });
  }

  hasUnderWay(member: MemberId): boolean {
    return this.#node(member).underWay.length > 0;
  }

  deliver(at: number, keep: boolean): void {
    const transit = keep ? this.inTransit[at] : this.#take(at);
    if (transit !== undefined) this.step(transit.to, { type: "receive", ...transit });
  }

  drop(at: number): void {
    this.#take(at);
  }

  propose(member: MemberId, count: number): number {
    const first = (this.#node(member).core?.inspect().last ?? 0) + 1;
    const records = Array.from({ length: count }, () => {
      this.#written += 1;
      return new Uint8Array([this.#written & 255, (this.#written >> 8) & 255, (this.#written >> 16) & 255]);
    });
    this.step(member, { type: "propose", request: this.nextRequest(), records });
    return first;
  }

  read(member: MemberId): void {
    const request = this.nextRequest();
    this.#node(member).reads.set(request, this.#chosenUpTo);
    this.step(member, { type: "readBarrier", request });
  }

  nextRequest(): number {
    this.#requests += 1;
    return this.#requests;
  }

  /** Fetches a state snapshot from `from`, if that has one to give. */
  install(to: MemberId, from: MemberId): void {
    const source = this.#node(from).core;
    const target = this.#node(to);
    if (source === undefined || target.core === undefined) return;
    const { delivered, sealedAt } = source.inspect();
    // State ends before the seal: there are no records behind it.
    const start = source.startAt(sealedAt === undefined || delivered < sealedAt ? delivered : before(sealedAt));
    if (start === undefined || start.index <= (target.snapshot?.index ?? 0)) return;
    target.snapshot = start;
    this.step(to, { type: "installed", start });
  }

  trim(member: MemberId): void {
    const { start, delivered } = this.view(member);
    const upTo = start.index + this.#random.below(delivered - start.index + 1);
    this.step(member, { type: "trim", upTo: upTo as LogIndex });
  }

  /** Deliveries and disk writes among `members` only. */
  burst(random: Random, members: readonly MemberId[], steps: number): void {
    const fast = new Set(members);
    for (let step = 0; step < steps; step++) {
      const at = this.inTransit.findIndex(({ from, to }) => fast.has(from) && fast.has(to));
      const writer = [...fast].find((member) => this.hasUnderWay(member));
      if (writer !== undefined && (at < 0 || random.chance(1, 2))) this.complete(writer);
      else if (at >= 0) this.deliver(at, false);
      else return;
    }
  }

  takeSnapshotsNeeded(): readonly { readonly to: MemberId; readonly from: MemberId }[] {
    const wanted = this.#snapshotsNeeded;
    this.#snapshotsNeeded = [];
    return wanted;
  }

  get elections(): number {
    return this.#leaders.size;
  }

  /** Everything arrives and becomes durable, in order, until nothing happens any more; no time passes. `reaches` loses the rest. */
  settle(reaches: (from: MemberId, to: MemberId) => boolean = () => true): void {
    for (let rounds = 0; rounds < 100_000; rounds++) {
      const writer = this.alive().find((member) => this.hasUnderWay(member));
      if (writer !== undefined) this.complete(writer);
      else if (this.inTransit[0] === undefined) return;
      else if (reaches(this.inTransit[0].from, this.inTransit[0].to)) this.deliver(0, false);
      else this.drop(0);
    }
    const tail = this.inTransit.slice(0, 4).map((transit) => JSON.stringify(transit));
    throw new Error(
      ["does not settle", ...tail, ...this.members().map((m) => JSON.stringify(this.view(m)))].join("\n"),
    );
  }

  leader(): MemberId | undefined {
    const leaders = this.alive().filter((member) => this.view(member).role === "leader");
    leaders.sort((a, b) => this.view(b).term - this.view(a).term);
    return leaders[0];
  }

  electLeader(): MemberId {
    for (let ticks = 0; ticks < 500; ticks++) {
      for (const member of this.alive()) this.tick(member);
      this.settle();
      const leader = this.leader();
      if (leader !== undefined) return leader;
    }
    throw new Error("no leader within 500 ticks");
  }

  /** Log Matching and what is durable, for all members; the other invariants are checked with each step. */
  check(): void {
    for (const node of this.#nodes.values()) {
      this.#checkDurable(node);
      this.#checkConfiguration(node);
      for (const other of this.#nodes.values()) if (node.member < other.member) this.#checkMatching(node, other);
    }
  }

  #take(at: number): InTransit | undefined {
    const transit = this.inTransit[at];
    const last = this.inTransit.length - 1;
    if (this.calm) this.inTransit.splice(at, 1);
    else {
      // Order does not matter where it is random.
      this.inTransit[at] = this.inTransit[last] as InTransit;
      this.inTransit.length = last;
    }
    return transit;
  }

  #carryOut(node: Node, effect: RaftEffect): void {
    switch (effect.type) {
      case "persist":
        node.underWay.push(effect);
        return;
      case "send":
        checkTrue(node.member, node.durable, effect.envelope.message);
        this.inTransit.push({ from: node.member, to: effect.envelope.to, message: effect.envelope.message });
        return;
      case "barrierReady": {
        const asked = node.reads.get(effect.request) ?? 0;
        assert(effect.index >= asked, `stale read at ${node.member}: ${effect.index}, chosen before it: ${asked}`);
        this.replies.push(effect);
        return;
      }
      case "commit":
        return;
      case "proposed":
        this.#checkProposed(node, effect);
        this.replies.push(effect);
        return;
      case "needSnapshot":
        this.#snapshotsNeeded.push({ to: node.member, from: effect.from });
        return;
      case "reply":
      case "role":
      case "configuration":
        this.replies.push(effect);
    }
  }

  #post(node: Node, persist: Persist): void {
    for (const { to, message } of persist.sendAfter) {
      checkTrue(node.member, node.durable, message);
      this.inTransit.push({ from: node.member, to, message });
    }
  }

  #observe(node: Node, installed: boolean): void {
    const view = this.view(node.member);
    const { seen } = node;
    assert(view.term >= seen.term, `term of ${node.member} went back`);
    assert(view.committed >= seen.committed, `commit of ${node.member} went back`);
    assert(view.delivered >= seen.delivered, `delivered of ${node.member} went back`);
    assert(view.start.index <= view.delivered && view.delivered <= view.committed, `order at ${node.member}`);
    assert(view.committed <= view.last && view.delivered <= view.persisted, `order at ${node.member}`);
    if (view.role === "leader") this.#observeLeader(node, view, installed);
    for (let index = Math.max(seen.committed, view.start.index) + 1; index <= view.committed; index++) {
      this.#observeCommitted(node, view, index);
    }
    node.seen = { term: view.term, committed: view.committed, delivered: view.delivered };
  }

  #observeLeader(node: Node, view: CoreView, installed: boolean): void {
    const known = this.#leaders.get(view.term);
    assert(known === undefined || known === node.member, `two leaders in term ${view.term}: ${known}, ${node.member}`);
    for (const { match, next, member } of view.progress) {
      assert(match < next && match <= view.last, `progress of ${member}: ${match} < ${next}`);
    }
    const { committed } = view;
    if (committed > node.seen.committed && known !== undefined && !installed) {
      // Only entries of the own term commit by counting (§5.4.2).
      const counted = this.#core(node.member).entry(committed)?.term;
      assert(counted === view.term, `leader of term ${view.term} counts ${committed} of term ${counted}`);
    }
    if (known !== undefined) return;
    this.#leaders.set(view.term, node.member);
    // Leader Completeness (§5.4.3).
    for (let index = view.start.index + 1; index <= this.#chosenUpTo; index++) {
      const chosen = this.#chosen[index];
      // A leader of an earlier term may come late: it can do no more harm.
      if (chosen === undefined || chosen.committedIn >= view.term) continue;
      const has = this.#core(node.member).entry(index as LogIndex)?.term;
      assert(has === chosen.entry.term, `leader ${node.member} of term ${view.term} lacks ${index}`);
    }
  }

  #observeCommitted(node: Node, view: CoreView, index: number): void {
    const entry = this.#core(node.member).entry(index as LogIndex);
    assert(entry !== undefined, `committed ${index} is not in the log of ${node.member}`);
    const chosen = this.#chosen[index];
    if (chosen === undefined) {
      this.#chosen[index] = { entry, committedIn: view.term };
      this.#chosenUpTo = Math.max(this.#chosenUpTo, index);
      if (entry.kind === "seal" && this.#sealedAt === undefined) this.#sealedAt = index;
      const held = isQuorum(view.configuration, (member) => this.#holdsDurably(member, entry));
      assert(held, `${index} of term ${entry.term} is committed by ${node.member}, but not on a quorum's disks`);
    } else {
      // State Machine Safety (§5.4.3).
      assert(chosen.entry.term === entry.term, `${index} committed twice: ${chosen.entry.term}, ${entry.term}`);
      assert(sameContent(chosen.entry, entry), `${index} has two contents`);
    }
  }

  #holdsDurably(member: MemberId, entry: Entry): boolean {
    const durable = this.#nodes.get(member)?.durable;
    return durable !== undefined && holds(durable, entry);
  }

  #checkProposed(node: Node, effect: Extract<RaftEffect, { type: "proposed" }>): void {
    const core = this.#core(node.member);
    const { start, committed, sealedAt } = core.inspect();
    const sealed = this.#sealedAt !== undefined && committed >= this.#sealedAt;
    assert(sealed === (sealedAt !== undefined), `sealed at ${this.#sealedAt}, ${node.member} says ${sealedAt}`);
    const entry = core.entry(effect.first);
    if (entry?.kind === "record") {
      for (let index = start.index + 1; index < effect.first; index++) {
        assert(core.entry(index as LogIndex)?.kind !== "seal", `${effect.first} stands behind the seal ${index}`);
      }
    }
    if (entry?.kind !== "configuration") return;
    // With joint consensus no history is known in which a breach of this does harm, so the rule itself is checked.
    const own = core.entry(committed)?.term ?? start.term;
    assert(own === effect.term, `configuration ${effect.first} of term ${effect.term}, committed is only term ${own}`);
  }

  /** In force is what the log says, and the start of a log says what the group decided. */
  #checkConfiguration(node: Node): void {
    if (node.core === undefined) return;
    const { start, last, configuration } = node.core.inspect();
    let expected = start.configuration;
    for (let index = start.index + 1; index <= last; index++) {
      const entry = node.core.entry(index as LogIndex);
      if (entry?.kind === "configuration") expected = entry.configuration;
    }
    assert(sameConfiguration(expected, configuration), `${node.member} follows another configuration than its log's`);
    if (start.index === 0) return;
    const decided = this.#chosen.findLast(
      (chosen, index) => index <= start.index && chosen?.entry.kind === "configuration",
    )?.entry;
    const then = decided?.kind === "configuration" ? decided.configuration : this.#founding;
    assert(
      sameConfiguration(then, start.configuration),
      `the start of ${node.member} has an undecided configuration: ${JSON.stringify([start, then])}`,
    );
  }

  /** What the core believes to be durable is. */
  #checkDurable(node: Node): void {
    if (node.core === undefined) return;
    const { start, persisted } = node.core.inspect();
    for (let index = start.index + 1; index <= persisted; index++) {
      const entry = node.core.entry(index as LogIndex);
      assert(
        entry !== undefined && this.#holdsDurably(node.member, entry),
        `${index} is not durable at ${node.member}`,
      );
    }
  }

  #checkMatching(a: Node, b: Node): void {
    if (a.core === undefined || b.core === undefined) return;
    const [viewA, viewB] = [a.core.inspect(), b.core.inspect()];
    let matched = false;
    for (let index = Math.min(viewA.last, viewB.last); index > 0; index--) {
      const [entryA, entryB] = [a.core.entry(index as LogIndex), b.core.entry(index as LogIndex)];
      if (entryA === undefined || entryB === undefined) return;
      const same = entryA.term === entryB.term;
      assert(same || !matched, `logs of ${a.member} and ${b.member} match above ${index}, but not there`);
      if (same) assert(sameContent(entryA, entryB), `${index} of term ${entryA.term} has two contents`);
      matched = same;
    }
  }

  #node(member: MemberId): Node {
    const node = this.#nodes.get(member);
    assert(node !== undefined, `no member ${member}`);
    return node;
  }

  #core(member: MemberId): Raft {
    const { core } = this.#node(member);
    assert(core !== undefined, `member ${member} is down`);
    return core;
  }
}

function before(index: LogIndex): LogIndex {
  return (index - 1) as LogIndex;
}
