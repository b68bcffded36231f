/**
 * The journal of a Multi-Paxos group: whatever is accepted, in whatever order, merged, refused, cut by crashes: what the
 * disk comes to is what the core had persisted. It begins later when it can.
 */
import {
  type Configuration,
  type Entry,
  type HardState,
  type LogIndex,
  type LogStart,
  memberId,
  type PaxosMessage,
  term,
} from "@quipu/consensus";
import { invariant, QuipuError } from "@quipu/core";
import { decodeGroupState, decodeJournalRecord, encodeGroupState } from "@quipu/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { GroupHost, PersistContent, PersistEffect } from "../src/engines/group/group-host.ts";
import { type Journal, JournalLayout, JournalReplay } from "../src/engines/group/journal.ts";
import { Persister } from "../src/engines/group/persister.ts";
import { groupSettings } from "../src/engines/group/settings.ts";
import type { GroupWrite } from "../src/write-ahead-log/group-write.ts";
import type { Completion } from "../src/write-ahead-log/write-ahead-log.ts";
import { at, bytesOf, TestCell } from "./group-harness.ts";

const one: Configuration = { voters: [memberId(1)], outgoing: [], learners: [], learnersNext: [] };
const startAt = (index: number): LogStart => ({
  index: at(index),
  term: term(index === 0 ? 0 : 1),
  configuration: one,
});
const nothingPromised: HardState = { term: term(0), vote: undefined };

/** What a group has: ballots by slot, above the start. */
interface Picture {
  readonly promised: number;
  readonly start: number;
  readonly slots: ReadonlyMap<number, number>;
}

const above = (slots: ReadonlyMap<number, number>, start: number): [number, number][] =>
  [...slots].filter(([slot]) => slot > start).sort(([left], [right]) => left - right);

/** A group on disk, by the words of GroupWrite. */
class Disk {
  hardState: Uint8Array = encodeGroupState({ engine: "multi-paxos", hardState: nothingPromised, start: startAt(0) });
  first = 1;
  records: Uint8Array[] = [];
  pending: { readonly write: GroupWrite; readonly done: Completion } | undefined;
  throws = false;
  writes = 0;

  get next(): number {
    return this.first + this.records.length;
  }

  write(_group: number, write: GroupWrite, done: Completion): void {
    if (this.throws) throw new QuipuError("OVERLOADED", "the queue is full");
    invariant(this.pending === undefined, "two writes of one group at once");
    this.pending = { write, done };
  }

  end(code?: "DISK_FULL"): void {
    const { write, done } = this.pending ?? {};
    this.pending = undefined;
    if (write === undefined) return;
    // A full disk takes what holds no record.
    const isRefused = code !== undefined && write.records !== undefined;
    if (!isRefused) this.#apply(write);
    done?.(isRefused ? new QuipuError(code, "full") : undefined);
  }

  #apply(write: GroupWrite): void {
    this.writes++;
    invariant(Object.keys(write).length > 0 && write.truncateFrom === undefined, "a write of nothing, or a truncation");
    this.hardState = write.hardState ?? this.hardState;
    if (write.restartAt !== undefined) {
      this.first = write.restartAt;
      this.records = [];
    }
    if (write.trimUpTo !== undefined) {
      invariant(write.trimUpTo >= this.first && write.trimUpTo < this.next, `trim to ${write.trimUpTo}`);
      this.records.splice(0, write.trimUpTo + 1 - this.first);
      this.first = write.trimUpTo + 1;
    }
    this.records.push(...(write.records ?? []));
  }

  read(): { readonly state: NonNullable<ReturnType<typeof decodeGroupState>>; readonly journal: Journal } {
    const state = decodeGroupState(this.hardState);
    invariant(state !== undefined, "the state does not decode");
    const replay = new JournalReplay();
    for (const bytes of this.records) {
      const record = decodeJournalRecord(bytes);
      invariant(record !== undefined, "a record does not decode");
      replay.take(record);
    }
    return { state, journal: replay.end(this.first) };
  }

  get picture(): Picture {
    const { state, journal } = this.read();
    const slots = new Map<number, number>();
    for (const [slot, entry] of journal.entries) slots.set(slot, entry.term);
    const start = state.start.index;
    return { promised: state.hardState.term, start, slots: new Map(above(slots, start)) };
  }
}

type Action =
  | { readonly type: "accept"; readonly ahead: number; readonly count: number }
  | { readonly type: "again"; readonly count: number }
  | { readonly type: "truncate"; readonly back: number }
  | { readonly type: "trim"; readonly back: number }
  | { readonly type: "restart" | "forget"; readonly ahead: number }
  | { readonly type: "message" }
  | { readonly type: "end"; readonly full: boolean }
  | { readonly type: "tick"; readonly throws: boolean }
  | { readonly type: "rewrite" }
  | { readonly type: "crash" };

const small = fc.integer({ min: 1, max: 4 });
const of = <Type extends Action["type"]>(type: Type): fc.Arbitrary<Type> => fc.constant(type);
const accepts = fc.record({ type: of("accept"), ahead: fc.integer({ min: -4, max: 4 }), count: small });
const ends = fc.record({ type: of("end"), full: fc.boolean() });
const common = [
  { weight: 6, arbitrary: accepts },
  { weight: 2, arbitrary: fc.record({ type: of("again"), count: fc.integer({ min: 1, max: 9 }) }) },
  { weight: 4, arbitrary: fc.record({ type: of("trim"), back: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ type: of("restart"), ahead: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 1, arbitrary: fc.record({ type: of("message") }) },
  { weight: 6, arbitrary: ends },
  { weight: 4, arbitrary: fc.record({ type: of("tick"), throws: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ type: of("crash") }) },
];
const more = [
  { weight: 1, arbitrary: fc.record({ type: of("truncate"), back: small }) },
  { weight: 1, arbitrary: fc.record({ type: of("rewrite") }) },
  { weight: 1, arbitrary: fc.record({ type: of("forget"), ahead: small }) },
];
const listOf = (arbitraries: typeof common): fc.Arbitrary<Action[]> =>
  fc.array(fc.oneof(...arbitraries), { minLength: 30, maxLength: 150, size: "max" }) as fc.Arbitrary<Action[]>;

/** A core as far as the disk sees it: makes persists that a core could make, and knows what each leaves behind. */
class Source {
  readonly pictures: Map<number, Picture> = new Map();
  token = 0;
  #ballot: number;
  #start: number;
  /** Ballot and the token that wrote it. */
  #slots: Map<number, { readonly ballot: number; readonly token: number }> = new Map();
  durableToken = 0;

  constructor({ promised, start, slots }: Picture) {
    this.#ballot = promised;
    this.#start = start;
    for (const [slot, ballot] of slots) this.#slots.set(slot, { ballot, token: 0 });
  }

  get entries(): readonly Entry[] {
    return [...this.#slots].sort(([a], [b]) => a - b).map(([slot, { ballot }]) => entryOf(slot, ballot));
  }

  effect(action: Action): PersistEffect<PaxosMessage> | undefined {
    this.token++;
    const parts = this.#parts(action);
    if (parts === undefined) {
      this.token--;
      return undefined;
    }
    for (const { index, term: ballot } of parts.append ?? []) this.#slots.set(index, { ballot, token: this.token });
    const slots = new Map([...this.#slots].map(([slot, { ballot }]) => [slot, ballot]));
    this.pictures.set(this.token, { promised: this.#ballot, start: this.#start, slots: new Map(above(slots, 0)) });
    return {
      type: "persist",
      token: this.token,
      hardState: undefined,
      restart: undefined,
      trim: undefined,
      truncateFrom: undefined,
      append: [],
      sendAfter: [{ to: memberId(2), message: { type: "takeOver", ballot: term(this.token) } }],
      ...parts,
    };
  }

  get #last(): number {
    return Math.max(this.#start, ...this.#slots.keys());
  }

  #parts(action: Action): Partial<PersistContent> | undefined {
    switch (action.type) {
      case "accept": {
        const first = Math.max(this.#start + 1, this.#last + action.ahead);
        const slots = Array.from({ length: action.count }, (_, i) => first + i);
        return { ...this.#nextBallot(), append: slots.map((slot) => entryOf(slot, this.#ballot)) };
      }
      case "again": {
        const slots = [...this.#slots.keys()].slice(0, action.count);
        return { ...this.#nextBallot(), append: slots.map((slot) => entryOf(slot, this.#ballot)) };
      }
      case "truncate": {
        const from = Math.max(this.#start + 1, this.#last + 1 - action.back);
        for (const slot of this.#slots.keys()) if (slot >= from) this.#slots.delete(slot);
        return { truncateFrom: at(from) };
      }
      case "trim": {
        let end = this.#start;
        while ((this.#slots.get(end + 1)?.token ?? Number.POSITIVE_INFINITY) <= this.durableToken) end++;
        const index = end - action.back;
        if (index <= this.#start) return undefined;
        this.#begin(index);
        return { trim: startAt(index) };
      }
      case "restart":
        this.#begin(this.#start + action.ahead);
        return { restart: startAt(this.#start), append: this.entries };
      // A core with a bug, which must be seen: it says nothing of what it holds above.
      case "forget":
        this.#begin(this.#start + action.ahead);
        this.#slots.clear();
        return { restart: startAt(this.#start) };
      case "message":
        return {};
      default:
        return undefined;
    }
  }

  #nextBallot(): Partial<PersistContent> {
    this.#ballot++;
    return { hardState: { term: term(this.#ballot), vote: undefined } };
  }

  #begin(index: number): void {
    this.#start = index;
    for (const slot of this.#slots.keys()) if (slot <= index) this.#slots.delete(slot);
  }
}

function entryOf(slot: number, ballot: number): Entry {
  return { index: slot as LogIndex, term: term(ballot), kind: "record", data: new Uint8Array(50) };
}

/** A member: its core, the shell's part, its disk. */
class Member {
  readonly disk = new Disk();
  readonly #persistBytesMax: number;
  source = new Source(this.disk.picture);
  #persister = this.#open();
  sent: number[] = [];

  constructor(persistBytesMax: number) {
    this.#persistBytesMax = persistBytesMax;
    this.#persister = this.#open();
  }

  get full(): boolean {
    return this.#persister.full;
  }

  run(action: Action): void {
    if (action.type === "end") this.disk.end(action.full ? "DISK_FULL" : undefined);
    else if (action.type === "crash") this.#crash();
    else if (action.type === "rewrite") {
      if (this.source.durableToken === this.source.token) this.#persister.rewrite(this.source.entries);
    } else if (action.type === "tick") {
      this.disk.throws = action.throws;
      this.#persister.tick();
      this.disk.throws = false;
    } else {
      const effect = this.source.effect(action);
      if (effect !== undefined) this.#persister.add(effect);
    }
  }

  settle(): void {
    for (let i = 0; i < 300; i++) {
      this.disk.end();
      this.#persister.tick();
    }
  }

  #crash(): void {
    this.disk.pending = undefined;
    this.source = new Source(this.disk.picture);
    this.sent = [];
    this.#persister = this.#open();
  }

  #open(): Persister<PaxosMessage> {
    const { source } = this;
    const settings = { ...groupSettings, persistRetryTicks: 1, persistBytesMax: this.#persistBytesMax };
    const host = { group: 1, engine: "multi-paxos", settings, mutation: undefined, run: (job: () => void) => job() };
    const { state, journal } = this.disk.read();
    const hooks = {
      durable: (token: number, sendAfter: readonly { readonly message: PaxosMessage }[]): void => {
        expect(token).toBeGreaterThan(source.durableToken);
        source.durableToken = token;
        for (const { message } of sendAfter) if (message.type === "takeOver") this.sent.push(message.ballot);
        expect(this.sent.at(-1)).toBe(token);
        this.onDurable(token);
      },
      failed: (error: unknown): void => {
        throw error;
      },
    };
    const layout = new JournalLayout({ ...state, journal }, true);
    return new Persister<PaxosMessage>(host as unknown as GroupHost, this.disk, hooks, layout);
  }

  onDurable: (token: number) => void = () => undefined;
}

/** The log may begin later than it should by now: what makes room on a full disk goes first. */
function expectPicture(found: Picture, expected: Picture | undefined): void {
  invariant(expected !== undefined, "a token that nobody gave out");
  expect(found.start).toBeGreaterThanOrEqual(expected.start);
  expect(found.promised).toBe(expected.promised);
  expect([...found.slots]).toEqual(above(expected.slots, found.start));
}

describe("a journal", () => {
  test("is always as after some of the persists in order, all at the end; crashes go back to what was told", () => {
    const property = fc.property(listOf([...common, ...more] as typeof common), (list) => {
      const member = new Member(4096 * 1024);
      member.onDurable = (token) => expectPicture(member.disk.picture, member.source.pictures.get(token));
      for (const action of list) {
        member.run(action);
        const { durableToken, pictures } = member.source;
        if (durableToken > 0 && action.type !== "end" && action.type !== "tick") {
          const told = pictures.get(durableToken);
          expect(member.disk.picture.promised).toBeGreaterThanOrEqual(told?.promised ?? 0);
        }
      }
      member.settle();
      expect(member.sent).toEqual([...member.source.pictures.keys()]);
      const last = [...member.source.pictures.values()].at(-1);
      if (last !== undefined) expectPicture(member.disk.picture, last);
      expect(member.full).toBe(false);
    });
    fc.assert(property, { seed: 1, numRuns: 100 });
  });

  test("that is written in pieces never lacks what was told, nor has anything above what was promised", () => {
    const property = fc.property(listOf(common), (list) => {
      const member = new Member(500);
      let told: Picture | undefined;
      member.onDurable = (token) => {
        told = member.source.pictures.get(token);
      };
      for (const action of list) {
        if (action.type === "crash") told = undefined;
        member.run(action);
        const { promised, start, slots } = member.disk.picture;
        for (const ballot of slots.values()) expect(ballot).toBeLessThanOrEqual(promised);
        for (const [slot, ballot] of told?.slots ?? []) {
          if (slot > start) expect(slots.get(slot), `slot ${slot}`).toBeGreaterThanOrEqual(ballot);
        }
      }
      member.settle();
      const last = [...member.source.pictures.values()].at(-1);
      if (last !== undefined) expectPicture(member.disk.picture, last);
    });
    fc.assert(property, { seed: 1, numRuns: 100 });
  });

  test("begins behind records that say nothing any more", () => {
    const member = new Member(4096 * 1024);
    const write = (action: Action): void => {
      member.run(action);
      member.settle();
    };
    for (let i = 0; i < 10; i++) write({ type: "accept", ahead: 1, count: 1 });
    expect([member.disk.first, member.disk.next]).toEqual([1, 11]);
    write({ type: "trim", back: 4 });
    expect([member.disk.first, member.disk.next]).toEqual([7, 11]);
    // In another ballot: what stood there says nothing, and the next write finds that.
    write({ type: "again", count: 4 });
    write({ type: "accept", ahead: 1, count: 1 });
    expect([member.disk.first, member.disk.next]).toEqual([11, 16]);
    write({ type: "crash" });
    write({ type: "trim", back: 0 });
    expect([member.disk.first, member.disk.next]).toEqual([16, 16]);
    expect(member.disk.picture).toEqual({ promised: 12, start: 11, slots: new Map() });
    write({ type: "accept", ahead: 1, count: 2 });
    write({ type: "truncate", back: 2 });
    write({ type: "accept", ahead: 1, count: 1 });
    expect([member.disk.first, member.disk.next]).toEqual([19, 20]);
  });

  test("is written again at its end, whole", () => {
    const member = new Member(4096 * 1024);
    for (let i = 0; i < 3; i++) member.run({ type: "accept", ahead: 2, count: 1 });
    member.settle();
    const before = member.disk.picture;
    member.run({ type: "rewrite" });
    member.settle();
    expect([member.disk.first, member.disk.next]).toEqual([4, 7]);
    expect(member.disk.picture).toEqual(before);
    member.run({ type: "accept", ahead: 1, count: 1 });
    member.settle();
    expect(member.disk.picture.slots.size).toBe(4);
  });
});

describe("a member that was switched off", () => {
  test("knows what was noted as chosen before it hears anybody, and delivers it", async () => {
    const settings = { multiPaxosCore: { chosenNotedSlots: 4 } };
    const cell = await TestCell.open({ engine: "multi-paxos", seed: 5, settings });
    const leader = await cell.untilLeader();
    for (let i = 0; i < 20; i++) await cell.until(cell.node(leader).log.append([bytesOf(`r${i}`)]));
    for (const member of cell.founders) await cell.until(() => cell.group(member).inspect().delivered >= 20);
    const promised = cell.group(leader).inspect().term;
    for (const member of cell.founders) cell.crash(member);
    for (const member of cell.founders) {
      await cell.start(member);
      cell.isolate(member);
      const { committed, term: now, role } = cell.group(member).inspect();
      expect({ now, role }).toEqual({ now: promised, role: "follower" });
      // What came since the last note is not known to be chosen.
      expect(committed).toBeGreaterThanOrEqual(12);
      await cell.until(() => cell.group(member).inspect().delivered === committed);
    }
    cell.heal();
    const next = await cell.untilLeader();
    const { tail } = await cell.until(cell.node(next).log.tail());
    expect(tail).toBe(21);
  });
});
