/**
 * What must hold in a cell after every step, by name: Raft figure 3, the promises of the contract, and the order of
 * disk and network. It knows what each disk holds, which no core does.
 */
import {
  type Configuration,
  type CoreView,
  type Entry,
  isQuorum,
  type LogStart,
  type MemberId,
  sameConfiguration,
} from "@quipu/consensus";
import type { CellEvent, Disk, Flight, Persist, RaftEffect, RaftInput, Seat } from "./cell.ts";
import { describeConfiguration, describeEntry, describeFlight, describeView } from "./describe.ts";

export class BrokenInvariant extends Error {
  readonly invariantName: string;

  constructor(invariantName: string, what: string) {
    super(`${invariantName}: ${what}`);
    this.name = "BrokenInvariant";
    this.invariantName = invariantName;
  }
}

function demand(condition: boolean, name: string, what: () => string): asserts condition {
  if (!condition) throw new BrokenInvariant(name, what());
}

interface CommittedEntry {
  readonly text: string;
  readonly entry: Entry;
  /** Term in which somebody first knew it: leaders of later terms must have it. */
  readonly knownIn: number;
}

export class Invariants {
  readonly #seats = new Map<MemberId, Seat>();
  readonly #leaders = new Map<number, MemberId>();
  /** By `index/term`: what stands there and what term stands before, in whichever log. */
  readonly #written = new Map<string, string>();
  readonly #inLogs = new Set<string>();
  readonly #committed = new Map<number, CommittedEntry>();
  #committedMax = 0;
  readonly #configurations: { readonly index: number; readonly configuration: Configuration }[] = [];
  /** Last view of each member's present life. */
  readonly #views = new Map<MemberId, CoreView>();
  readonly #barriers = new Map<string, number>();
  readonly #proposals = new Map<string, readonly string[]>();
  /** Records that were surely not taken. */
  readonly #refused = new Set<string>();
  readonly #disks = new Map<MemberId, Disk>();
  #sealedAt = Infinity;

  get committedMax(): number {
    return this.#committedMax;
  }

  /** Everything that was ever committed, as far as it was seen in a log. */
  committedEntry(index: number): Entry | undefined {
    return this.#committed.get(index)?.entry;
  }

  watch(event: CellEvent): void {
    switch (event.type) {
      case "started":
        this.#started(event.seat);
        break;
      case "input":
        this.#input(event.seat, event.input);
        break;
      case "effect":
        this.#effect(event.seat, event.effect);
        break;
      case "stepped":
        this.#stepped(event.seat);
        break;
      case "durable":
        this.#durable(event.seat);
        break;
      case "sent":
        this.#sent(event.flight);
        break;
      case "crashed":
        this.#views.delete(event.seat.member);
        break;
      default:
        event satisfies never;
    }
  }

  #started(seat: Seat): void {
    this.#seats.set(seat.member, seat);
    const { start } = seat.disk;
    if (this.#configurations.length === 0) this.#configurations.push(start);
    // A cell may be founded in the middle of a log: what its members bring along is taken as it is.
    this.#committedMax = Math.max(this.#committedMax, start.index);
    this.#stepped(seat);
  }

  #input(seat: Seat, input: RaftInput): void {
    if (input.type === "readBarrier") this.#barriers.set(`${seat.member}/${input.request}`, this.#committedMax);
    if (input.type === "propose") {
      const texts = input.records.map((record) => new TextDecoder().decode(record));
      this.#proposals.set(`${seat.member}/${input.request}`, texts);
    }
  }

  #effect(seat: Seat, effect: RaftEffect): void {
    if (effect.type === "persist") this.#persist(seat, effect);
    if (effect.type === "barrierReady") {
      const least = this.#barriers.get(`${seat.member}/${effect.request}`) as number;
      const what = (): string => `${seat.member} read at ${effect.index}, ${least} was committed before it asked`;
      demand(effect.index >= least, "LinearizableBarrier", what);
    }
    if (effect.type === "reply") {
      for (const text of this.#proposals.get(`${seat.member}/${effect.request}`) ?? []) {
        demand(!this.#isInSomeLog(text), "DefiniteRefusal", () => `${text} was refused but stands in a log`);
        this.#refused.add(text);
      }
    }
    if (effect.type === "role" && effect.role === "leader") {
      const other = this.#leaders.get(effect.term) ?? seat.member;
      demand(other === seat.member, "ElectionSafety", () => `${other} and ${seat.member} lead term ${effect.term}`);
      this.#leaders.set(effect.term, seat.member);
      const { term, vote } = seat.disk.hardState;
      const voted = term === effect.term && vote === seat.member;
      demand(voted, "VoteDurable", () => `${seat.member} leads term ${effect.term}, on disk t${term} vote ${vote}`);
    }
  }

  #isInSomeLog(text: string): boolean {
    return this.#inLogs.has(text);
  }

  #persist(seat: Seat, persist: Persist): void {
    const committed = this.#views.get(seat.member)?.committed ?? 0;
    const from = persist.truncateFrom ?? Infinity;
    demand(from > committed, "CommittedImmutable", () => `${seat.member} cuts from ${from}, ${committed} is committed`);
    for (const start of [persist.restart, persist.trim]) {
      if (start !== undefined) this.#checkStart(seat.member, start);
    }
    for (const entry of persist.append) {
      const before = seat.core?.entry((entry.index - 1) as typeof entry.index)?.term;
      const key = `${entry.index}/${entry.term}`;
      const text = describeEntry(entry).slice(key.length + 1);
      demand(!this.#refused.has(text), "DefiniteRefusal", () => `${text} was refused, ${seat.member} appends it`);
      const known = this.#written.get(key);
      // Behind a log's start the term before may be unknown: then only the content is compared.
      const now = `${text} after ${before ?? "?"}`;
      const same = known === undefined || known === now || (before === undefined && known.startsWith(`${text} after`));
      const unknownBefore = known?.endsWith("?") === true && known.startsWith(`${text} after`);
      demand(same || unknownBefore, "LogMatching", () => `${key} is ${known}, in ${seat.member} ${now}`);
      if (known === undefined || unknownBefore) this.#written.set(key, now);
      this.#inLogs.add(text);
      if (entry.kind === "configuration") this.#checkChange(seat, entry);
    }
  }

  /** Only after an entry of its own term is committed does a leader change members (Ongaro, raft-dev 2015). */
  #checkChange(seat: Seat, entry: Entry): void {
    const view = seat.core?.inspect();
    if (view?.role !== "leader" || view.term !== entry.term) return;
    const opened = view.committed > view.start.index ? seat.core?.entry(view.committed)?.term : view.start.term;
    demand(opened === view.term, "ChangeAfterOwnTerm", () => `${describeEntry(entry)} by ${describeView(view)}`);
  }

  /** Where a log begins must be what was committed there, with the configuration as of there. */
  #checkStart(member: MemberId, start: LogStart): void {
    const what = (): string => `${member} begins after ${start.index}/${start.term}`;
    demand(start.index <= this.#committedMax, "StartCommitted", what);
    const committed = this.#committed.get(start.index);
    demand(committed === undefined || committed.entry.term === start.term, "StartCommitted", what);
    const as = this.#configurations.filter(({ index }) => index <= start.index).at(-1)?.configuration;
    const same = as === undefined || sameConfiguration(as, start.configuration);
    demand(same, "StartConfiguration", () => `${what()} with ${describeConfiguration(start.configuration)}`);
  }

  #durable(seat: Seat): void {
    const seen = this.#disks.get(seat.member);
    const now = seat.disk.hardState;
    const before = seen?.hardState ?? now;
    const what = (): string => `disk of ${seat.member}: ${JSON.stringify(before)} then ${JSON.stringify(now)}`;
    demand(now.term >= before.term, "DurableTermGrows", what);
    const kept = now.term > before.term || before.vote === undefined || before.vote === now.vote;
    demand(kept, "OneVotePerTerm", what);
    this.#disks.set(seat.member, seat.disk);
  }
  /** Promises leave only once they are durable. */
  #sent(flight: Flight): void {
    const disk = this.#seats.get(flight.from)?.disk;
    if (disk === undefined) return;
    const { message } = flight;
    const { term, vote } = disk.hardState;
    if (message.type === "voteReply" && message.granted && !message.preVote) {
      const kept = term > message.term || (term === message.term && vote === flight.to);
      demand(kept, "VoteDurable", () => `${describeFlight(flight)}, on disk t${term} vote ${vote}`);
    }
    if (message.type === "appendAccepted") {
      const last = disk.start.index + disk.entries.length;
      const durable = term >= message.term && (term > message.term || last >= message.match);
      demand(durable, "AcceptedDurable", () => `${describeFlight(flight)}, on disk t${term} up to ${last}`);
    }
  }

  #stepped(seat: Seat): void {
    const view = seat.core?.inspect();
    if (view === undefined) return;
    const before = this.#views.get(seat.member);
    this.#checkOrder(view, before);
    this.#checkConfiguration(seat, view);
    this.#checkPersisted(seat, view);
    this.#checkCommitted(seat, view, before?.committed ?? view.start.index);
    if (view.role === "leader") this.#checkLeader(seat, view);
    this.#views.set(seat.member, view);
  }

  #checkOrder(view: CoreView, before: CoreView | undefined): void {
    const ordered =
      view.start.index <= view.delivered &&
      view.delivered <= Math.min(view.committed, view.persisted) &&
      Math.max(view.committed, view.persisted) <= view.last;
    demand(ordered, "Order", () => describeView(view));
    if (before !== undefined) {
      const grown =
        view.term >= before.term && view.committed >= before.committed && view.delivered >= before.delivered;
      const kept = view.term > before.term || before.vote === undefined || before.vote === view.vote;
      demand(grown && kept, "Monotone", () => `${describeView(before)}  then  ${describeView(view)}`);
    }
    for (const { member, match, next } of view.progress) {
      const what = (): string => `${view.member} of ${member}: match ${match} next ${next} last ${view.last}`;
      demand(match >= 0 && match < next && match <= view.last && next <= view.last + 1, "Progress", what);
    }
  }

  /** The latest in the log is in force, committed or not (§6). */
  #checkConfiguration(seat: Seat, view: CoreView): void {
    let { index, configuration }: { index: number; configuration: Configuration } = view.start;
    for (let at = view.last; at > view.start.index; at = (at - 1) as typeof at) {
      const entry = seat.core?.entry(at);
      if (entry?.kind !== "configuration") continue;
      ({ index, configuration } = entry);
      break;
    }
    const right = index === view.configurationIndex && sameConfiguration(configuration, view.configuration);
    demand(
      right,
      "ConfigurationInForce",
      () => `${describeView(view)}, in the log ${describeConfiguration(configuration)}`,
    );
  }

  /** What a core takes for durable is on its disk as it stands in its log now. */
  #checkPersisted(seat: Seat, view: CoreView): void {
    if (view.persisted <= view.start.index) return;
    const durable = seat.disk.entries[view.persisted - seat.disk.start.index - 1];
    const entry = seat.core?.entry(view.persisted);
    const what = (): string =>
      `${view.member} takes ${entry?.index}/${entry?.term} for durable, disk has ${durable?.term}`;
    demand(durable !== undefined && durable.term === entry?.term, "PersistedIsDurable", what);
  }

  #checkCommitted(seat: Seat, view: CoreView, before: number): void {
    for (let index = Math.max(before, view.start.index) + 1; index <= view.committed; index++) {
      const entry = seat.core?.entry(index as Entry["index"]);
      demand(entry !== undefined, "Order", () => `${view.member} has no entry ${index}: ${describeView(view)}`);
      const text = describeEntry(entry);
      const known = this.#committed.get(index);
      demand(known === undefined || known.text === text, "StateMachineSafety", () => `${known?.text} and ${text}`);
      if (known !== undefined) continue;
      this.#checkNewlyCommitted(seat, view, entry);
      this.#committed.set(index, { text, entry, knownIn: view.term });
      this.#committedMax = Math.max(this.#committedMax, index);
      if (entry.kind === "configuration") this.#configurations.push(entry);
      if (entry.kind === "seal") this.#sealedAt = Math.min(this.#sealedAt, index);
    }
    const { sealedAt } = view;
    const right = sealedAt === undefined || sealedAt === this.#sealedAt || this.#sealedAt === Infinity;
    demand(right, "OneSeal", () => `${describeView(view)}, sealed first at ${this.#sealedAt}`);
  }

  #checkNewlyCommitted(seat: Seat, view: CoreView, entry: Entry): void {
    const { index } = entry;
    const isAfterSeal = index > this.#sealedAt && entry.kind === "record" && view.delivered >= index;
    demand(!isAfterSeal, "NothingAfterSeal", () => `${view.member} delivers ${describeEntry(entry)}`);
    // Up to an entry of its own term, which then commits those before it (§5.4.2).
    const newest = seat.core?.entry(view.committed)?.term;
    demand(newest === view.term, "OwnTermCommits", () => `up to ${newest} by ${describeView(view)}`);
    // One that commits its own removal may have stepped down already.
    const wasLeader = view.role === "leader" || this.#views.get(seat.member)?.role === "leader";
    demand(wasLeader, "LeaderCommitsFirst", () => `${index} first at ${describeView(view)}`);
    for (const { member, role, term } of this.#views.values()) {
      if (role !== "leader" || term <= view.term) continue;
      const has = this.#seats.get(member)?.core?.entry(index)?.term === entry.term;
      demand(
        has,
        "LeaderCompleteness",
        () => `${describeEntry(entry)} is not in the log of ${member}, leader of ${term}`,
      );
    }
    const holds = (member: MemberId): boolean => {
      const disk = this.#seats.get(member)?.disk;
      if (disk === undefined) return false;
      return index <= disk.start.index || disk.entries[index - disk.start.index - 1]?.term === entry.term;
    };
    const isDurable = isQuorum(view.configuration, holds);
    demand(isDurable, "CommittedOnQuorum", () => `${describeEntry(entry)} by ${describeView(view)}`);
  }

  #checkLeader(seat: Seat, view: CoreView): void {
    const other = this.#leaders.get(view.term);
    demand(other === seat.member, "ElectionSafety", () => `${other} and ${seat.member} lead term ${view.term}`);
    // Newest first, and only as far as something new can stand: what was checked for this leader once stays.
    if (this.#views.get(seat.member)?.role === "leader") return;
    for (const [index, { text, knownIn }] of this.#committed) {
      if (knownIn >= view.term || index <= view.start.index) continue;
      const entry = seat.core?.entry(index as Entry["index"]);
      const has = entry !== undefined && describeEntry(entry) === text;
      demand(has, "LeaderCompleteness", () => `${text} is not in the log of ${describeView(view)}`);
    }
  }
}
