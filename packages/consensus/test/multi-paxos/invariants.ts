/**
 * What must hold in a cell after every step, by name: the conditions of "Paxos Made Simple", the promises of the
 * contract, the order rule. It knows what each disk holds, which no core does: a value is chosen when a quorum's disks
 * have accepted it in one ballot.
 */
import type { CoreView, Entry, LogStart, MemberId, PaxosMessage } from "@quipu/consensus";
import {
  type CellEvent,
  type Disk,
  type Flight,
  type PaxosEffect,
  type Persist,
  type Seat,
  slotOnDisk,
} from "./cell.ts";
import { describeBallot, describeContent, describeEntry, describeFlight, describeView } from "./describe.ts";

function demand(condition: boolean, name: string, what: () => string): asserts condition {
  if (!condition) throw new Error(`${name}: ${what()}`);
}

export class PaxosInvariants {
  readonly #phase2: (voters: number) => number;
  readonly #seats = new Map<MemberId, Seat>();
  /** By slot and ballot: the value. */
  readonly #values = new Map<string, string>();
  /** By slot and ballot: whose disks have accepted it. */
  readonly #accepted = new Map<string, Set<MemberId>>();
  readonly #chosen = new Map<number, string>();
  readonly #leaders = new Map<number, MemberId>();
  readonly #committed = new Map<number, string>();
  #committedMax = 0;
  readonly #views = new Map<MemberId, CoreView>();
  readonly #disks = new Map<MemberId, Disk>();
  /** In which ballot a record was proposed by its caller; later leaders may have proposed it again. */
  readonly #origins = new Map<string, number>();
  readonly #refused = new Set<string>();
  readonly #asked = new Map<string, readonly string[]>();
  readonly #barriers = new Map<string, number>();
  #sealedAt = Infinity;

  constructor(phase2: (voters: number) => number = (voters) => Math.floor(voters / 2) + 1) {
    this.#phase2 = phase2;
  }

  get committedMax(): number {
    return this.#committedMax;
  }

  watch(event: CellEvent): void {
    switch (event.type) {
      case "started":
        this.#seats.set(event.seat.member, event.seat);
        this.#disks.set(event.seat.member, event.seat.disk);
        this.#stepped(event.seat);
        break;
      case "input":
        if (event.input.type === "propose") {
          const texts = event.input.records.map((record) => new TextDecoder().decode(record));
          this.#asked.set(`${event.seat.member}/${event.input.request}`, texts);
        } else if (event.input.type === "readBarrier") {
          this.#barriers.set(`${event.seat.member}/${event.input.request}`, this.#committedMax);
        }
        break;
      case "effect":
        this.#effect(event.seat, event.effect);
        break;
      case "stepped":
        this.#stepped(event.seat);
        break;
      case "durable":
        this.#durable(event.seat, event.persist);
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

  #effect(seat: Seat, effect: PaxosEffect): void {
    const key = "request" in effect ? `${seat.member}/${effect.request}` : "";
    if (effect.type === "persist") for (const entry of effect.append) this.#checkValue(entry);
    if (effect.type === "persist" && effect.restart !== undefined) this.#checkStart(seat.member, effect.restart);
    if (effect.type === "persist" && effect.trim !== undefined) this.#checkStart(seat.member, effect.trim);
    if (effect.type === "reply") for (const text of this.#asked.get(key) ?? []) this.#refused.add(text);
    if (effect.type === "proposed") {
      const texts = this.#asked.get(key) ?? [];
      for (const text of texts) this.#origins.set(text, effect.term);
      demand(texts.length === 0 || effect.last - effect.first + 1 === texts.length, "NextToEachOther", () =>
        JSON.stringify(effect),
      );
      demand(effect.first > 0 && effect.last < this.#sealedAt + 1, "NothingBehindSeal", () => JSON.stringify(effect));
    }
    if (effect.type === "barrierReady") {
      const then = this.#barriers.get(key) ?? 0;
      demand(effect.index >= then, "FreshRead", () => `${seat.member} reads at ${effect.index}, chosen was ${then}`);
    }
  }

  /** P2: one proposer, one value for a slot in a ballot. */
  #checkValue(entry: Entry): void {
    const key = `${entry.index}/${entry.term}`;
    const text = describeContent(entry);
    const known = this.#values.get(key);
    demand(known === undefined || known === text, "OneValuePerBallot", () => `${known} and ${describeEntry(entry)}`);
    this.#values.set(key, text);
  }

  #checkStart(member: MemberId, start: LogStart): void {
    demand(start.index <= this.#committedMax, "StartChosen", () => `${member} begins after ${start.index}`);
  }

  #durable(seat: Seat, persist: Persist): void {
    const before = this.#disks.get(seat.member) ?? seat.disk;
    const now = seat.disk;
    const what = (): string => `disk of ${seat.member}: ${JSON.stringify([before.hardState, now.hardState])}`;
    demand(now.hardState.term >= before.hardState.term, "PromiseGrows", what);
    const [wasIn, isIn] = [before.hardState.accepted?.ballot ?? 0, now.hardState.accepted?.ballot ?? 0];
    demand(isIn >= wasIn && isIn <= now.hardState.term, "AcceptedBallotGrows", what);
    this.#disks.set(seat.member, now);
    for (const entry of persist.append) {
      // P1a: what was promised away is not accepted; what is chosen may be learned, whatever its ballot.
      const learned = this.#chosen.get(entry.index) === describeContent(entry);
      const kept = persist.restart !== undefined;
      const promised = before.hardState.term;
      demand(
        entry.term >= promised || learned || kept || entry.index > this.#sealedAt,
        "P1a",
        () => `${seat.member} has promised ${describeBallot(promised)}, and accepts ${describeEntry(entry)}`,
      );
      this.#accept(seat, entry);
    }
  }

  #accept(seat: Seat, entry: Entry): void {
    const key = `${entry.index}/${entry.term}`;
    const by = this.#accepted.get(key) ?? new Set<MemberId>();
    this.#accepted.set(key, by.add(seat.member));
    if (by.size < this.#phase2(seat.disk.start.configuration.voters.length) || entry.index > this.#sealedAt) return;
    const text = describeContent(entry);
    const known = this.#chosen.get(entry.index) ?? text;
    demand(known === text, "P2a", () => `${known} was chosen, then ${describeEntry(entry)}`);
    this.#chosen.set(entry.index, text);
  }

  /** Nothing is said before it is durable. */
  #sent(flight: Flight): void {
    const disk = this.#seats.get(flight.from)?.disk;
    if (disk === undefined) return;
    const { message } = flight;
    const what = (): string => `${describeFlight(flight)}, on disk ${describeBallot(disk.hardState.term)}`;
    if ("entries" in message) for (const entry of message.entries) this.#checkValue(entry);
    if (message.type === "prepare" || message.type === "promised" || message.type === "accepted") {
      demand(disk.hardState.term >= message.ballot, "PromiseDurable", what);
    }
    if (message.type === "accepted") this.#checkAccepted(disk, message, what);
  }

  #checkAccepted(disk: Disk, message: Extract<PaxosMessage, { type: "accepted" }>, what: () => string): void {
    const { ballot, first, last, match } = message;
    for (let index = Math.min(disk.start.index, match) + 1; index <= Math.max(last, match); index++) {
      if (index <= disk.start.index || (index > match && (index < first || index > last))) continue;
      const entry = slotOnDisk(disk, index);
      const right = entry !== undefined && (entry.term >= ballot || this.#chosen.get(index) === describeContent(entry));
      demand(right || index > this.#sealedAt, "AcceptedDurable", () => `${what()}: ${index}`);
    }
  }

  #stepped(seat: Seat): void {
    const view = seat.core?.inspect();
    if (view === undefined) return;
    const before = this.#views.get(seat.member);
    this.#checkOrder(seat, view, before);
    for (let index = Math.max(before?.committed ?? 0, view.start.index) + 1; index <= view.committed; index++) {
      this.#checkCommitted(seat, view, index);
    }
    if (view.role === "leader") {
      const other = this.#leaders.get(view.term) ?? view.member;
      demand(other === view.member, "OneLeaderPerBallot", () => `${other} and ${describeView(view)}`);
      this.#leaders.set(view.term, view.member);
    }
    this.#views.set(seat.member, view);
  }

  #checkOrder(seat: Seat, view: CoreView, before: CoreView | undefined): void {
    const ordered =
      view.start.index <= view.delivered &&
      view.delivered <= Math.min(view.committed, view.persisted) &&
      Math.max(view.committed, view.persisted) <= view.last;
    demand(ordered, "Order", () => describeView(view));
    for (const index of [view.persisted, view.delivered]) {
      if (index <= view.start.index || index <= seat.disk.start.index) continue;
      const [durable, entry] = [slotOnDisk(seat.disk, index), seat.core?.entry(index)];
      demand(
        durable !== undefined && durable.term === entry?.term,
        "PersistedIsDurable",
        () => `${index} of ${describeView(view)}, on disk ${durable?.term}`,
      );
    }
    for (const { member, match, next } of view.progress) {
      demand(match < next && match <= view.last, "Progress", () => `${view.member} of ${member}: ${match}, ${next}`);
    }
    if (before === undefined) return;
    const grown = view.term >= before.term && view.committed >= before.committed && view.delivered >= before.delivered;
    demand(grown, "Monotone", () => `${describeView(before)}  then  ${describeView(view)}`);
  }

  #checkCommitted(seat: Seat, view: CoreView, index: number): void {
    const entry = seat.core?.entry(index as Entry["index"]);
    demand(entry !== undefined, "Order", () => `${view.member} has nothing in ${index}: ${describeView(view)}`);
    const text = describeContent(entry);
    const known = this.#committed.get(index) ?? text;
    demand(known === text, "Agreement", () => `slot ${index}: ${known} and ${text} at ${view.member}`);
    demand(!this.#refused.has(text), "RefusedNotTaken", () => text);
    if (this.#committed.has(index)) return;
    this.#committed.set(index, text);
    const isChosen = this.#chosen.get(index) === text;
    demand(isChosen, "ChosenByQuorum", () => `${describeEntry(entry)}, chosen is ${this.#chosen.get(index)}`);
    this.#committedMax = Math.max(this.#committedMax, index);
    if (entry.kind === "seal") this.#sealedAt = Math.min(this.#sealedAt, index);
    demand(index <= this.#sealedAt, "NothingBehindSeal", () => `${describeEntry(entry)} at ${view.member}`);
    this.#checkOrigins(index);
  }

  /** The order rule: what a caller had to give up does not come back above what was proposed in a later ballot. */
  #checkOrigins(index: number): void {
    const origin = this.#origins.get(this.#committed.get(index) ?? "");
    if (origin === undefined) return;
    for (let below = index - 1; below > 0; below--) {
      const other = this.#origins.get(this.#committed.get(below) ?? "");
      if (other === undefined) continue;
      demand(
        other <= origin,
        "OrderRule",
        () => `slot ${index} was proposed in ${describeBallot(origin as CoreView["term"])}, slot ${below} later`,
      );
      return;
    }
  }
}
