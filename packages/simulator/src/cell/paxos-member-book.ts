/** What the simulator knows of one member in a Multi-Paxos group: as ./member-book.ts does of Raft's. Slots may be empty. */
import type { CoreView, Entry } from "@quipu/consensus";
import { check } from "../failure.ts";
import type { BookedMember, ObservedGroup } from "./book.ts";
import type { ChosenRegistry } from "./chosen-registry.ts";
import type { DurableTime } from "./durable-time.ts";

/** Seen on the disk at a start: durable for sure. */
const sinceEver = -1;

interface Slot {
  readonly entry: Entry;
  /** The sync that was under way when it was first seen in this ballot. */
  readonly seenAt: number;
  /** The same for the value, in whatever ballot. */
  readonly valueSeenAt: number;
}

export class PaxosMemberBook implements BookedMember {
  readonly name: string;
  readonly #time: DurableTime;
  #doneAtDeath: number | undefined;
  #isNewLife = true;
  readonly #slots = new Map<number, Slot>();
  #hardStateSeenAt = sinceEver;
  #last: CoreView | undefined;
  #promisedBallot = 0;
  /** By slot, the highest ballot in which others have heard it accepted. */
  readonly #said = new Map<number, number>();

  constructor(name: string, time: DurableTime) {
    this.name = name;
    this.#time = time;
  }

  get view(): CoreView | undefined {
    return this.#last;
  }

  get isAlive(): boolean {
    return this.#doneAtDeath === undefined && this.#last !== undefined;
  }

  get isHardStateDurable(): boolean {
    return this.#hardStateSeenAt < this.#done;
  }

  died(): void {
    this.#doneAtDeath ??= this.#time.done;
    this.#isNewLife = true;
  }

  /** Others have heard that it has accepted that slot in that ballot, or knows what was chosen there. */
  accepted(slot: number, ballot: number): void {
    this.#said.set(slot, Math.max(ballot, this.#said.get(slot) ?? 0));
  }

  promised(ballot: number): void {
    this.#promisedBallot = Math.max(this.#promisedBallot, ballot);
  }

  durableTerm(index: number): number | undefined {
    const slot = this.#slots.get(index);
    return slot !== undefined && slot.seenAt < this.#done ? slot.entry.term : undefined;
  }

  isBelowStart(index: number): boolean {
    return this.#last !== undefined && index <= this.#last.start.index;
  }

  /** That value can be on its disk, or in the state that took its place. */
  canHold(entry: Entry, isSame: (left: Entry, right: Entry) => boolean): boolean {
    const slot = this.#slots.get(entry.index);
    const isThere = slot !== undefined && slot.valueSeenAt < this.#done && isSame(slot.entry, entry);
    return isThere || this.isBelowStart(entry.index);
  }

  get #done(): number {
    return this.#doneAtDeath ?? this.#time.done;
  }

  /** Takes what a step has left. */
  observe(
    group: ObservedGroup,
    view: CoreView,
    registry: ChosenRegistry,
    isSame: (left: Entry, right: Entry) => boolean,
  ): void {
    const before = this.#last;
    const isNewLife = this.#isNewLife;
    if (isNewLife) this.#checkRestored(group, view, registry);
    else if (before !== undefined) this.#checkForward(view, before);
    if (before === undefined || isNewLife || view.term !== before.term) {
      this.#hardStateSeenAt = isNewLife ? sinceEver : this.#time.now;
    }
    const from = isNewLife || before === undefined ? view.start.index : Math.max(view.start.index, before.committed);
    for (let index = from + 1; index <= view.last; index++) this.#take(group.entry(index), index, registry, isSame);
    this.#forget(view, before);
    this.#doneAtDeath = undefined;
    this.#isNewLife = false;
    this.#last = view;
    this.#checkPersisted(view, isNewLife ? view.persisted : (before?.persisted ?? 0));
  }

  #take(
    entry: Entry | undefined,
    index: number,
    registry: ChosenRegistry,
    isSame: (left: Entry, right: Entry) => boolean,
  ): void {
    const known = this.#slots.get(index);
    if (entry === undefined) {
      this.#slots.delete(index);
      return;
    }
    check(entry.index === index, "log-order", () => `${this.name}: at ${index} stands ${entry.index}`);
    registry.seen(this.name, entry);
    const now = this.#isNewLife ? sinceEver : this.#time.now;
    const isSameBallot = known?.entry.term === entry.term;
    const isSameValue = known !== undefined && isSame(known.entry, entry);
    if (isSameBallot && isSameValue && !this.#isNewLife) return;
    this.#slots.set(index, { entry, seenAt: now, valueSeenAt: isSameValue ? Math.min(known.valueSeenAt, now) : now });
  }

  /** What stands no more. */
  #forget(view: CoreView, before: CoreView | undefined): void {
    if (before !== undefined && view.start.index === before.start.index && view.last >= before.last) return;
    for (const index of this.#slots.keys()) {
      if (index <= view.start.index || index > view.last) this.#slots.delete(index);
    }
  }

  /** A start: nothing that was promised or surely durable may be forgotten. */
  #checkRestored(group: ObservedGroup, view: CoreView, registry: ChosenRegistry): void {
    check(
      view.term >= this.#promisedBallot,
      "durable-lost",
      () => `${this.name} starts in ballot ${view.term}, it had promised ${this.#promisedBallot}`,
    );
    const persisted = this.#last?.persisted ?? 0;
    for (const [index, { entry }] of this.#slots) {
      if (index > persisted || index <= view.start.index) continue;
      const found = group.entry(index)?.term;
      check(
        found !== undefined && found >= entry.term,
        "durable-lost",
        () => `${this.name} starts with ballot ${found} at ${index}, ${entry.term} was durable there`,
      );
    }
    for (const [index, ballot] of this.#said) {
      if (index <= view.start.index) {
        this.#said.delete(index);
        continue;
      }
      const found = group.entry(index)?.term;
      check(
        found !== undefined && (found >= ballot || index <= registry.committedUpTo),
        "durable-lost",
        () => `${this.name} starts with ballot ${found} at ${index}, it had accepted ${ballot} there`,
      );
    }
  }

  #checkForward(view: CoreView, before: CoreView): void {
    for (const what of ["term", "committed", "delivered"] as const) {
      check(view[what] >= before[what], "went-back", () => `${this.name}: ${what} ${before[what]} -> ${view[what]}`);
    }
    check(
      view.start.index >= before.start.index,
      "went-back",
      () => `${this.name}: start ${before.start.index} -> ${view.start.index}`,
    );
  }

  #checkPersisted(view: CoreView, before: number): void {
    for (let index = Math.max(before, view.start.index) + 1; index <= view.persisted; index++) {
      const isDurable = this.durableTerm(index) !== undefined;
      check(isDurable, "promise-not-durable", () => `${this.name} takes ${index} for durable, which cannot be`);
    }
  }
}
