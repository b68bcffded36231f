/**
 * One core and nobody else: the test plays its peers, message by message. For rules that speak of what a single server
 * does.
 */
import {
  type Configuration,
  type CoreView,
  type Entry,
  type Envelope,
  foundingConfiguration,
  logIndex,
  type LogStart,
  type MemberId,
  memberId,
  type RaftMessage,
  term,
} from "@quipu/consensus";
import { invariant } from "@quipu/core";
import { Cell, type Disk, newcomerState, type RaftEffect, type RaftInput, restoredState } from "./cell.ts";
import { newRaft, type Settings, settingsOf, type StubRandom, stubRandom } from "./cores.ts";

export type Sent = Envelope<RaftMessage>;

export interface LoneOptions {
  readonly member?: number;
  readonly voters?: readonly number[];
  readonly learners?: readonly number[];
  readonly term?: number;
  readonly vote?: number;
  /** Terms of the entries, from the start on. */
  readonly log?: readonly number[];
  readonly entries?: readonly Entry[];
  readonly start?: { readonly index: number; readonly term: number };
  /** Knows no cell. */
  readonly newcomer?: boolean;
  readonly settings?: Partial<Settings>;
}

export class Lone {
  readonly member: MemberId;
  readonly random: StubRandom = stubRandom(0);
  readonly #cell: Cell;
  #effects: RaftEffect[] = [];
  #requests = 0;

  constructor(options: LoneOptions = {}) {
    this.member = memberId(options.member ?? 1);
    const settings = { ...settingsOf({}), ...options.settings };
    this.#cell = new Cell({
      create: (member, restored) => newRaft({ member, random: this.random, settings, restored }),
      watch: (event) => {
        if (event.type === "effect") this.#effects.push(event.effect);
      },
    });
    this.#cell.add(this.member, diskOf(options));
  }

  get view(): CoreView {
    return this.#cell.core(this.member).inspect();
  }

  get disk(): Disk {
    return this.#cell.seat(this.member).disk;
  }

  /** Terms of the log in memory, from the start on. */
  get log(): number[] {
    return this.entries.map((entry) => entry.term);
  }

  get entries(): Entry[] {
    const { start, last } = this.view;
    const indexes = Array.from({ length: last - start.index }, (_, place) => logIndex(start.index + 1 + place));
    return indexes.map((index) => this.#cell.core(this.member).entry(index) as Entry);
  }

  get core(): ReturnType<Cell["core"]> {
    return this.#cell.core(this.member);
  }

  /** Effects since the last call. */
  effects(): readonly RaftEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  effectsOf<Type extends RaftEffect["type"]>(type: Type): Extract<RaftEffect, { readonly type: Type }>[] {
    const is = (effect: RaftEffect): effect is Extract<RaftEffect, { readonly type: Type }> => effect.type === type;
    return this.effects().filter(is);
  }

  /** One input; what leaves at once, the disk not yet done. */
  input(input: RaftInput): readonly Sent[] {
    this.#cell.step(this.member, input);
    return this.#drain();
  }

  /** One input, and the disk does what it is told; all that leaves. */
  step(input: RaftInput): readonly Sent[] {
    const sent = this.input(input);
    return [...sent, ...this.persist()];
  }

  receive(from: number, message: RaftMessage): readonly Sent[] {
    return this.step({ type: "receive", from: memberId(from), message });
  }

  /** The answer to `from`, which must be the only one. */
  ask(from: number, message: RaftMessage): RaftMessage {
    const answers = this.receive(from, message).filter(({ to }) => to === from);
    invariant(answers.length === 1, `${answers.length} answers: ${JSON.stringify(answers)}`);
    return (answers[0] as Sent).message;
  }

  persist(count = Infinity): readonly Sent[] {
    this.#cell.persist(this.member, count);
    return this.#drain();
  }

  get persistsPending(): number {
    return this.#cell.seat(this.member).pending.length;
  }

  tick(times = 1): readonly Sent[] {
    return Array.from({ length: times }, () => this.step({ type: "tick" })).flat();
  }

  restart(durable = 0): void {
    this.#cell.crash(this.member, durable);
    this.#cell.restart(this.member);
    this.effects();
  }

  request(): number {
    return ++this.#requests;
  }

  propose(...texts: readonly string[]): readonly Sent[] {
    const records = texts.map((text) => new TextEncoder().encode(text));
    return this.step({ type: "propose", request: this.request(), records });
  }

  /** Ticks until it asks for votes; what it asked. */
  campaign(): readonly Sent[] {
    for (let ticks = 0; ticks < 1000; ticks++) {
      const sent = this.tick();
      if (this.view.role !== "follower") return sent;
    }
    return invariant(false, "does not campaign") as never;
  }

  /** Campaigns, and everybody votes for it in both rounds: a candidate's real term is its own by now. */
  canvass(voters: readonly number[] = this.others): readonly Sent[] {
    const asked = this.campaign();
    if (this.view.role !== "preCandidate") return asked;
    const wanted = term(this.view.term + 1);
    const grant: RaftMessage = { type: "voteReply", term: wanted, preVote: true, granted: true };
    return voters.flatMap((voter) => (this.view.role === "preCandidate" ? this.receive(voter, grant) : []));
  }

  /** Elected by everybody; its no-op is sent but nobody has accepted it. What it sent. */
  win(): readonly Sent[] {
    const sent = [...this.canvass()];
    for (const voter of this.others) {
      if (this.view.role !== "candidate") break;
      sent.push(...this.receive(voter, { type: "voteReply", term: this.view.term, preVote: false, granted: true }));
    }
    invariant(this.view.role === "leader", `not elected: ${this.view.role}`);
    return sent;
  }

  /** Elected, and everybody has its whole log. */
  lead(): void {
    this.win();
    for (const other of this.others) this.accept(other);
    this.effects();
  }

  accept(from: number, match: number = this.view.last, barrier = 0): readonly Sent[] {
    const message = { type: "appendAccepted", term: this.view.term, match: logIndex(match), barrier } as const;
    return this.receive(from, message);
  }

  get others(): readonly number[] {
    const { voters, outgoing, learners } = this.view.configuration;
    const all = new Set<number>([...voters, ...outgoing, ...learners]);
    all.delete(this.member);
    return [...all].sort((a, b) => a - b);
  }

  #drain(): readonly Sent[] {
    const sent = this.#cell.network.map(({ to, message }) => ({ to, message }));
    this.#cell.network = [];
    return sent;
  }
}

function diskOf(options: LoneOptions): Disk {
  if (options.newcomer === true) return newcomerState();
  const configuration: Configuration = foundingConfiguration(
    (options.voters ?? [1, 2, 3]).map(memberId),
    (options.learners ?? []).map(memberId),
  );
  const index = options.start?.index ?? 0;
  const start: LogStart = { index: logIndex(index), term: term(options.start?.term ?? 0), configuration };
  const entries = options.entries ?? logOf(options.log ?? [], index);
  const lastTerm = entries.at(-1)?.term ?? start.term;
  const vote = options.vote === undefined ? undefined : memberId(options.vote);
  return restoredState({ hardState: { term: term(options.term ?? lastTerm), vote }, start, entries });
}

/** Records of these terms, following `after`; the same index and term always hold the same record. */
export function logOf(terms: readonly number[], after = 0): Entry[] {
  return terms.map((termNumber, place) => record(after + 1 + place, termNumber));
}

export function record(index: number, termNumber: number, text = `r${index}.${termNumber}`): Entry {
  return { index: logIndex(index), term: term(termNumber), kind: "record", data: new TextEncoder().encode(text) };
}

export function configurationEntry(index: number, termNumber: number, configuration: Configuration): Entry {
  return { index: logIndex(index), term: term(termNumber), kind: "configuration", configuration };
}

/** AppendEntries with the fields that a test does not care about filled in: terms of the entries after `previous`. */
export function append(given: {
  readonly term: number;
  readonly previous?: readonly [index: number, term: number];
  readonly terms?: readonly number[];
  readonly entries?: readonly Entry[];
  readonly commit?: number;
  readonly barrier?: number;
}): Extract<RaftMessage, { readonly type: "appendEntries" }> {
  const [previousIndex, previousTerm] = given.previous ?? [0, 0];
  return {
    type: "appendEntries",
    term: term(given.term),
    previousIndex: logIndex(previousIndex),
    previousTerm: term(previousTerm),
    entries: given.entries ?? logOf(given.terms ?? [], previousIndex),
    commit: logIndex(given.commit ?? 0),
    barrier: given.barrier ?? 0,
  };
}

export function requestVote(given: {
  readonly term: number;
  readonly last?: readonly [index: number, term: number];
  readonly preVote?: boolean;
  readonly transfer?: boolean;
}): RaftMessage {
  const [lastIndex, lastTerm] = given.last ?? [0, 0];
  return {
    type: "requestVote",
    term: term(given.term),
    preVote: given.preVote ?? false,
    lastIndex: logIndex(lastIndex),
    lastTerm: term(lastTerm),
    transfer: given.transfer ?? false,
  };
}

export function voteReply(termNumber: number, granted: boolean, preVote = false): RaftMessage {
  return { type: "voteReply", term: term(termNumber), preVote, granted };
}

export function heartbeat(termNumber: number, commit = 0, barrier = 0): RaftMessage {
  return { type: "heartbeat", term: term(termNumber), commit: logIndex(commit), barrier };
}

export function heartbeatReply(termNumber: number, barrier = 0): RaftMessage {
  return { type: "heartbeatReply", term: term(termNumber), barrier };
}

export function rejected(termNumber: number, at: number, hint: readonly [number, number]): RaftMessage {
  const [hintIndex, hintTerm] = hint;
  return {
    type: "appendRejected",
    term: term(termNumber),
    rejected: logIndex(at),
    hintIndex: logIndex(hintIndex),
    hintTerm: term(hintTerm),
    barrier: 0,
  };
}

/** Messages of one type, to anybody or to one. */
export function sentOf<Type extends RaftMessage["type"]>(
  sent: readonly Sent[],
  type: Type,
  to?: number,
): Extract<RaftMessage, { readonly type: Type }>[] {
  return sent
    .filter((envelope) => to === undefined || envelope.to === to)
    .map(({ message }) => message)
    .filter((message): message is Extract<RaftMessage, { readonly type: Type }> => message.type === type);
}
