/** What a core wants persisted reaches the disk as if each were written by itself, whatever is merged or refused. */
import {
  type Configuration,
  type Entry,
  type HardState,
  type LogStart,
  memberId,
  type MemberId,
  type RaftMessage,
  term,
} from "@quipu/consensus";
import { invariant, QuipuError } from "@quipu/core";
import { decodeEntry, decodeGroupState, encodeGroupState } from "@quipu/protocol";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { GroupHost, PersistEffect } from "../src/engines/group/group-host.ts";
import { DenseLayout } from "../src/engines/group/log-layout.ts";
import { type GroupWriter, Persister } from "../src/engines/group/persister.ts";
import { groupSettings } from "../src/engines/group/settings.ts";
import type { GroupWrite } from "../src/write-ahead-log/group-write.ts";
import type { Completion } from "../src/write-ahead-log/write-ahead-log.ts";
import { at } from "./group-harness.ts";

const nobody: Configuration = { voters: [memberId(1)], outgoing: [], learners: [], learnersNext: [] };
const startAt = (index: number): LogStart => ({
  index: at(index),
  term: term(index === 0 ? 0 : 1),
  configuration: nobody,
});

interface Picture {
  readonly term: number;
  readonly start: number;
  readonly terms: readonly (number | undefined)[];
}

/** The log may begin later than it should by now: what makes room on a full disk goes first. */
function expectPicture({ term: itsTerm, start, terms }: Picture, expected: Picture | undefined): void {
  invariant(expected !== undefined, "a token that nobody gave out");
  expect(start).toBeGreaterThanOrEqual(expected.start);
  expect({ term: itsTerm, terms }).toEqual({
    term: expected.term,
    terms: expected.terms.slice(start - expected.start),
  });
}

/** A group on disk, by the words of GroupWrite. */
class Model {
  hardState: Uint8Array = encodeGroupState({
    engine: "raft",
    hardState: { term: term(0), vote: undefined },
    start: startAt(0),
  });
  first = 1;
  records: Uint8Array[] = [];

  get next(): number {
    return this.first + this.records.length;
  }

  apply(write: GroupWrite): void {
    this.hardState = write.hardState ?? this.hardState;
    if (write.restartAt !== undefined) {
      this.first = write.restartAt;
      this.records = [];
    }
    if (write.trimUpTo !== undefined) {
      invariant(write.trimUpTo < this.next, `trim to ${write.trimUpTo} of ${this.first}..${this.next - 1}`);
      this.records.splice(0, Math.max(0, write.trimUpTo + 1 - this.first));
      this.first = Math.max(this.first, write.trimUpTo + 1);
    }
    if (write.truncateFrom !== undefined) {
      invariant(write.truncateFrom <= this.next && write.truncateFrom >= this.first, `cut at ${write.truncateFrom}`);
      this.records.length = write.truncateFrom - this.first;
    }
    this.records.push(...(write.records ?? []));
  }

  get picture(): Picture {
    const state = decodeGroupState(this.hardState);
    invariant(
      state !== undefined && state.start.index + 1 === this.first,
      `state ${state?.start.index}, ${this.first}`,
    );
    const terms = this.records.map((bytes, i) => decodeEntry(at(this.first + i), bytes)?.term);
    return { term: state.hardState.term, start: state.start.index, terms };
  }
}

/** Holds writes until told how they end. */
class Disk {
  readonly model: Model = new Model();
  pending: { readonly write: GroupWrite; readonly done: Completion } | undefined;
  throws = false;

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
    if (!isRefused) this.model.apply(write);
    done?.(isRefused ? new QuipuError(code, "full") : undefined);
  }
}

type Action =
  | { readonly type: "append"; readonly count: number }
  | { readonly type: "truncate"; readonly back: number; readonly count: number }
  | { readonly type: "trim"; readonly back: number }
  | { readonly type: "restart"; readonly ahead: number }
  | { readonly type: "vote" }
  | { readonly type: "message" }
  | { readonly type: "end"; readonly full: boolean }
  | { readonly type: "tick"; readonly throws: boolean };

const small = fc.integer({ min: 1, max: 4 });
const actions: fc.Arbitrary<Action[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ type: fc.constant("append" as const), count: small }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant("truncate" as const), back: small, count: small }) },
    { weight: 4, arbitrary: fc.record({ type: fc.constant("trim" as const), back: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant("restart" as const), ahead: small }) },
    { weight: 1, arbitrary: fc.constant({ type: "vote" as const }) },
    { weight: 1, arbitrary: fc.constant({ type: "message" as const }) },
    { weight: 5, arbitrary: fc.record({ type: fc.constant("end" as const), full: fc.boolean() }) },
    { weight: 4, arbitrary: fc.record({ type: fc.constant("tick" as const), throws: fc.boolean() }) },
  ),
  { minLength: 30, maxLength: 150, size: "max" },
);

/** A core as far as the disk sees it: makes persists that a core could make, and knows what each leaves behind. */
class Source {
  readonly #sequential: Model = new Model();
  readonly pictures: Map<number, Picture> = new Map();
  #token = 0;
  #term = 1;
  #start = 0;
  #last = 0;
  /** Entries up to here are durable: nothing above is trimmed. */
  durable = 0;
  readonly #ends: Map<number, number> = new Map();

  effect(action: Action): PersistEffect<RaftMessage> | undefined {
    const parts = this.#parts(action);
    if (parts === undefined) return undefined;
    const token = ++this.#token;
    const message: RaftMessage = { type: "heartbeatReply", term: term(token), barrier: 0 };
    const effect: PersistEffect<RaftMessage> = {
      type: "persist",
      token,
      hardState: undefined,
      restart: undefined,
      trim: undefined,
      truncateFrom: undefined,
      append: [],
      sendAfter: [{ to: memberId(2) as MemberId, message }],
      ...parts,
    };
    const hardState = decodeGroupState(this.#sequential.hardState)?.hardState ?? nothingPromised;
    const layout = new DenseLayout({ engine: "raft", hardState, start: startAt(this.#sequential.first - 1) }, true);
    const writer: GroupWriter = { write: (_group, write, done) => this.#alone(write, done) };
    const alone = new Persister<RaftMessage>(hostOf(), writer, ignore, layout);
    alone.add(effect);
    this.pictures.set(token, this.#sequential.picture);
    this.#ends.set(token, this.#last);
    return effect;
  }

  became(token: number): void {
    this.durable = Math.max(this.durable, Math.min(this.#ends.get(token) ?? 0, this.#last));
  }

  #alone(write: GroupWrite, done: Completion): void {
    this.#sequential.apply(write);
    done(undefined);
  }

  #parts(action: Action): Partial<PersistEffect<RaftMessage>> | undefined {
    switch (action.type) {
      case "append":
        return { append: this.#entries(this.#last, action.count) };
      case "truncate": {
        const from = Math.max(this.#start + 1, this.#last + 1 - action.back);
        this.#term++;
        this.#replaced(from - 1);
        return { truncateFrom: at(from), append: this.#entries(from - 1, action.count) };
      }
      case "trim": {
        const index = Math.min(this.durable, this.#last) - action.back;
        if (index <= this.#start) return undefined;
        this.#start = index;
        return { trim: startAt(index) };
      }
      case "restart":
        this.#start = this.#last + action.ahead;
        this.#last = this.#start;
        this.#replaced(this.#start);
        return { restart: startAt(this.#start) };
      case "vote":
        this.#term++;
        return { hardState: { term: term(this.#term), vote: memberId(1) } };
      case "message":
        return {};
      default:
        return undefined;
    }
  }

  /** What is on its way to the disk says nothing of the entries that stand above `index` from here on. */
  #replaced(index: number): void {
    this.durable = Math.min(this.durable, index);
    for (const [token, end] of this.#ends) this.#ends.set(token, Math.min(end, index));
  }

  #entries(after: number, count: number): Entry[] {
    this.#last = after + count;
    return Array.from({ length: count }, (_, i) => ({
      index: at(after + 1 + i),
      term: term(this.#term),
      kind: "noop",
    }));
  }
}

const nothingPromised: HardState = { term: term(0), vote: undefined };
const ignore = { durable: (): void => undefined, failed: (): void => undefined };

function hostOf(): GroupHost {
  const host = { group: 1, engine: "raft", settings: { ...groupSettings, persistRetryTicks: 1 }, mutation: undefined };
  return { ...host, run: (job: () => void) => job() } as unknown as GroupHost;
}

test("merged, refused and tried again: the disk is always as after some of the persists in order, all at the end", () => {
  const property = fc.property(actions, (list) => {
    const source = new Source();
    const disk = new Disk();
    const empty = disk.model.picture;
    const told: number[] = [];
    const sent: number[] = [];
    const persister = new Persister<RaftMessage>(
      hostOf(),
      disk,
      {
        durable: (token, sendAfter) => {
          told.push(token);
          source.became(token);
          sent.push(...sendAfter.map(({ message }) => message.term));
          expect(sent.at(-1)).toBe(token);
          expectPicture(disk.model.picture, source.pictures.get(token));
        },
        failed: (error) => {
          throw error;
        },
      },
      new DenseLayout({ engine: "raft", hardState: nothingPromised, start: startAt(0) }, true),
    );
    expect(disk.model.picture).toEqual(empty);
    for (const action of list) {
      if (action.type === "end") disk.end(action.full ? "DISK_FULL" : undefined);
      else if (action.type === "tick") {
        disk.throws = action.throws;
        persister.tick();
        disk.throws = false;
      } else {
        const effect = source.effect(action);
        if (effect !== undefined) persister.add(effect);
      }
    }
    for (let i = 0; i < 100; i++) {
      disk.end();
      persister.tick();
    }
    expect(sent).toEqual([...source.pictures.keys()]);
    expect(told).toEqual(told.toSorted((left, right) => left - right));
    expect(disk.model.picture).toEqual([...source.pictures.values()].at(-1) ?? empty);
    expect(persister.full).toBe(false);
  });
  fc.assert(property, { seed: 1, numRuns: 200 });
});
