/**
 * One core and nobody else: the test plays its peers, message by message. For rules that speak of what a single member
 * does. Ballots are given as [round, ordinal]; member m of 1, 2, 3 has ordinal m - 1.
 */
import {
  type CoreView,
  defaultMultiPaxosSettings,
  type Entry,
  type EntryContent,
  type Envelope,
  foundingConfiguration,
  type HardState,
  type LogIndex,
  logIndex,
  type MemberId,
  memberId,
  MultiPaxos,
  type MultiPaxosMutation,
  type MultiPaxosSettings,
  type PaxosMessage,
  type Term,
  term,
} from "@quipu/consensus";
import { invariant, SeededRandom } from "@quipu/core";
import { ballotOf } from "../../src/multi-paxos/ballot.ts";
import { restoredState } from "../cell.ts";
import { type Disk, PaxosCell, type PaxosEffect, type PaxosInput, writtenSlots } from "./cell.ts";

export type Sent = Envelope<PaxosMessage>;
export type Ballot = readonly [round: number, ordinal: number];

export function ballot([round, ordinal]: Ballot): Term {
  return ballotOf(round, 0, ordinal);
}

export interface LoneOptions {
  readonly member?: number;
  readonly voters?: readonly number[];
  readonly promised?: Ballot;
  readonly accepted?: { readonly ballot: Ballot; readonly freeFrom: number };
  readonly chosen?: number;
  readonly entries?: readonly Entry[];
  readonly start?: { readonly index: number; readonly ballot: Ballot };
  readonly settings?: Partial<MultiPaxosSettings>;
  readonly mutation?: MultiPaxosMutation | undefined;
}

export class Lone {
  readonly member: MemberId;
  readonly #cell: PaxosCell;
  #effects: PaxosEffect[] = [];
  #requests = 0;

  constructor(options: LoneOptions = {}) {
    this.member = memberId(options.member ?? 1);
    const settings = { ...defaultMultiPaxosSettings, ...options.settings };
    const { mutation } = options;
    this.#cell = new PaxosCell({
      create: (member, restored) => {
        const random = new SeededRandom(1);
        return new MultiPaxos({ member, random, settings, restored, ...(mutation === undefined ? {} : { mutation }) });
      },
      watch: (event) => {
        if (event.type === "effect") this.#effects.push(event.effect);
      },
      write: writtenSlots,
    });
    this.#cell.add(this.member, diskOf(options));
  }

  get view(): CoreView {
    return this.#cell.core(this.member).inspect();
  }

  get disk(): Disk {
    return this.#cell.seat(this.member).disk;
  }

  get core(): ReturnType<PaxosCell["core"]> {
    return this.#cell.core(this.member);
  }

  /** What stands in the slots from the start on, as text; `-`: nothing. */
  get slots(): string[] {
    const { start, last } = this.view;
    return Array.from({ length: last - start.index }, (_, place) => {
      const entry = this.core.entry(logIndex(start.index + 1 + place));
      return entry === undefined ? "-" : textOf(entry);
    });
  }

  /** Effects since the last call. */
  effectsOf<Type extends PaxosEffect["type"]>(type: Type): Extract<PaxosEffect, { readonly type: Type }>[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects.filter((effect): effect is Extract<PaxosEffect, { readonly type: Type }> => effect.type === type);
  }

  /** One input; what leaves at once, the disk not yet done. */
  input(input: PaxosInput): readonly Sent[] {
    this.#cell.step(this.member, input);
    return this.#drain();
  }

  /** One input, and the disk does what it is told; all that leaves. */
  step(input: PaxosInput): readonly Sent[] {
    return [...this.input(input), ...this.persist()];
  }

  receive(from: number, message: PaxosMessage): readonly Sent[] {
    return this.step({ type: "receive", from: memberId(from), message });
  }

  /** The answer to `from`, which must be the only one. */
  ask(from: number, message: PaxosMessage): PaxosMessage {
    const answers = this.receive(from, message).filter(({ to }) => to === from);
    invariant(answers.length === 1, `${answers.length} answers: ${JSON.stringify(answers)}`);
    return (answers[0] as Sent).message;
  }

  persist(count = Infinity): readonly Sent[] {
    this.#cell.persist(this.member, count);
    return this.#drain();
  }

  tick(times = 1): readonly Sent[] {
    return Array.from({ length: times }, () => this.step({ type: "tick" })).flat();
  }

  restart(durable = 0): void {
    this.#cell.crash(this.member, durable);
    this.#cell.restart(this.member);
    this.#effects = [];
  }

  request(): number {
    return ++this.#requests;
  }

  propose(...texts: readonly string[]): readonly Sent[] {
    const records = texts.map((text) => new TextEncoder().encode(text));
    return this.step({ type: "propose", request: this.request(), records });
  }

  /** Every other voter answers its election rounds and is unhappy, until it takes over; what it asked. */
  campaign(): readonly Sent[] {
    for (let ticks = 0; ticks < 100; ticks++) {
      const sent = this.tick();
      if (this.view.role === "candidate") return sent;
      for (const { to, message } of sent) {
        if (message.type !== "electionRequest") continue;
        const none = { ballot: term(0), leader: term(0), happy: false };
        this.receive(to, { type: "electionReply", round: message.round, ...none });
      }
    }
    return invariant(false, "does not campaign") as never;
  }

  /** Elected with the promises of others that report nothing. */
  lead(): void {
    this.campaign();
    for (const from of this.others) if (this.view.role === "candidate") this.receive(from, this.promised({}));
    invariant(this.view.role === "leader", `not elected: ${this.view.role}`);
    this.#effects = [];
  }

  get others(): readonly number[] {
    return this.view.configuration.voters.filter((voter) => voter !== this.member);
  }

  /** A whole answer to its prepare. */
  promised(given: {
    readonly entries?: readonly Entry[];
    readonly chosen?: number;
    readonly accepted?: { readonly ballot: Ballot; readonly freeFrom: number };
    readonly start?: number;
    readonly last?: number;
    readonly through?: number;
  }): Extract<PaxosMessage, { readonly type: "promised" }> {
    const entries = given.entries ?? [];
    const from = logIndex(this.view.committed + 1);
    const last = logIndex(given.last ?? entries.at(-1)?.index ?? from - 1);
    const { accepted } = given;
    return {
      type: "promised",
      ballot: this.view.term,
      from,
      through: logIndex(given.through ?? Math.max(last, from - 1)),
      last: last > from - 1 ? last : logIndex(from - 1),
      start: logIndex(given.start ?? 0),
      chosen: logIndex(given.chosen ?? 0),
      accepted:
        accepted === undefined
          ? {
              ballot: entries.reduce((most, entry) => (entry.term > most ? entry.term : most), term(0)),
              freeFrom: logIndex(1),
            }
          : { ballot: ballot(accepted.ballot), freeFrom: logIndex(accepted.freeFrom) },
      entries,
    };
  }

  /** `from` has durably accepted these slots, and everything up to `match`. */
  accept(from: number, first: number, last: number, match: number = last, barrier = 0): readonly Sent[] {
    const slots = { first: logIndex(first), last: logIndex(last), match: logIndex(match) };
    return this.receive(from, { type: "accepted", ballot: this.view.term, ...slots, barrier });
  }

  #drain(): readonly Sent[] {
    const sent = this.#cell.network.map(({ to, message }) => ({ to, message }));
    this.#cell.network = [];
    return sent;
  }
}

function diskOf(options: LoneOptions): Disk {
  const configuration = foundingConfiguration((options.voters ?? [1, 2, 3]).map(memberId));
  const { start, accepted, chosen } = options;
  const entries = options.entries ?? [];
  const highest = entries.reduce((most, entry) => (entry.term > most ? entry.term : most), term(0));
  const hardState: HardState = {
    term: options.promised === undefined ? highest : ballot(options.promised),
    vote: undefined,
    ...(accepted === undefined
      ? {}
      : { accepted: { ballot: ballot(accepted.ballot), freeFrom: logIndex(accepted.freeFrom) } }),
    ...(chosen === undefined ? {} : { chosen: logIndex(chosen) }),
  };
  return restoredState({
    hardState,
    start: {
      index: logIndex(start?.index ?? 0),
      term: start === undefined ? term(0) : ballot(start.ballot),
      configuration,
    },
    entries,
  });
}

export function textOf(entry: Entry): string {
  return entry.kind === "record" ? new TextDecoder().decode(entry.data) : `<${entry.kind}>`;
}

/** A record of this text, a seal or a no-op, as accepted in this ballot. */
export function slot(index: number, at: Ballot, text: string): Entry {
  const content: EntryContent =
    text === "<seal>" || text === "<noop>"
      ? { kind: text === "<seal>" ? "seal" : "noop" }
      : { kind: "record", data: new TextEncoder().encode(text) };
  return { index: logIndex(index), term: ballot(at), ...content };
}

export function prepare(at: Ballot, from = 1): PaxosMessage {
  return { type: "prepare", ballot: ballot(at), from: logIndex(from) };
}

/** Of the leader of `at`: these texts from slot `first` on, in its own ballot. */
export function accept(
  at: Ballot,
  first: number,
  texts: readonly string[],
  given: { readonly freeFrom?: number; readonly chosen?: number; readonly barrier?: number } = {},
): Extract<PaxosMessage, { readonly type: "accept" }> {
  return {
    type: "accept",
    ballot: ballot(at),
    freeFrom: logIndex(given.freeFrom ?? 1),
    entries: texts.map((text, place) => slot(first + place, at, text)),
    chosen: logIndex(given.chosen ?? 0),
    barrier: given.barrier ?? 0,
  };
}

export function heartbeat(
  at: Ballot,
  given: { readonly freeFrom?: number; readonly chosen?: number } = {},
): PaxosMessage {
  const { freeFrom, chosen } = { freeFrom: logIndex(given.freeFrom ?? 1), chosen: logIndex(given.chosen ?? 0) };
  return { type: "paxosHeartbeat", ballot: ballot(at), freeFrom, chosen, number: 1, barrier: 0 };
}

export function heartbeatReply(at: Term, number: number, match: number, received = match, barrier = 0): PaxosMessage {
  const upTo = { match: match as LogIndex, received: received as LogIndex };
  return { type: "paxosHeartbeatReply", ballot: at, number, barrier, ...upTo };
}

/** Messages of one type, to anybody or to one. */
export function sentOf<Type extends PaxosMessage["type"]>(
  sent: readonly Sent[],
  type: Type,
  to?: number,
): Extract<PaxosMessage, { readonly type: Type }>[] {
  return sent
    .filter((envelope) => to === undefined || envelope.to === to)
    .map(({ message }) => message)
    .filter((message): message is Extract<PaxosMessage, { readonly type: Type }> => message.type === type);
}
