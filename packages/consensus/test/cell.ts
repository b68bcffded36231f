/**
 * A cell of cores of one kind whose disks and network are explicit: a persist completes and a message arrives only when told,
 * in whatever order, so that every moment between two effects can be a crash. Who watches gets every event.
 */
import {
  type ConsensusCore,
  type Effect,
  emptyConfiguration,
  type Entry,
  foundingConfiguration,
  type HardState,
  type Input,
  type LogStart,
  logIndex,
  type MemberId,
  type RestoredState,
  term,
} from "@quipu/consensus";
import { invariant } from "@quipu/core";

export type PersistOf<Message> = Extract<Effect<Message>, { readonly type: "persist" }>;

/** A message on its way. */
export interface FlightOf<Message> {
  readonly number: number;
  readonly from: MemberId;
  readonly to: MemberId;
  readonly message: Message;
}

/** What is durable. Replaced as a whole, so that whoever keeps one keeps a picture. */
export type Disk = RestoredState;

export interface SeatOf<Message> {
  readonly member: MemberId;
  /** Undefined while crashed. */
  core: ConsensusCore<Message> | undefined;
  disk: Disk;
  /** Given to the disk, not yet durable; in order. */
  pending: PersistOf<Message>[];
  /** Of this life. */
  delivered: number;
}

export type CellEventOf<Message> =
  | { readonly type: "input"; readonly seat: SeatOf<Message>; readonly input: Input<Message> }
  | { readonly type: "effect"; readonly seat: SeatOf<Message>; readonly effect: Effect<Message> }
  /** All effects of an input are in place. */
  | { readonly type: "stepped"; readonly seat: SeatOf<Message> }
  | { readonly type: "durable"; readonly seat: SeatOf<Message>; readonly persist: PersistOf<Message> }
  | { readonly type: "sent"; readonly flight: FlightOf<Message>; readonly lost: boolean }
  | { readonly type: "started"; readonly seat: SeatOf<Message> }
  | { readonly type: "crashed"; readonly seat: SeatOf<Message> };

export interface CellOptions<Message> {
  readonly create: (member: MemberId, restored: RestoredState) => ConsensusCore<Message>;
  readonly watch: (event: CellEventOf<Message>) => void;
  /** What the disk holds after a persist, strictly: whatever does not fit is a bug. */
  readonly write?: (disk: Disk, persist: PersistOf<Message>) => Disk;
}

export function foundingState(voters: readonly MemberId[], learners: readonly MemberId[] = []): RestoredState {
  const configuration = foundingConfiguration(voters, learners);
  return restoredState({ start: { index: logIndex(0), term: term(0), configuration } });
}

/** Of a member that knows no cell yet. */
export function newcomerState(): RestoredState {
  return restoredState({ start: { index: logIndex(0), term: term(0), configuration: emptyConfiguration } });
}

export function restoredState(given: {
  readonly hardState?: HardState;
  readonly start: LogStart;
  readonly entries?: readonly Entry[];
}): RestoredState {
  const hardState = given.hardState ?? { term: term(0), vote: undefined };
  return { hardState, start: given.start, entries: given.entries ?? [] };
}

export class CellOf<Message> {
  /** In the order of sending. */
  network: FlightOf<Message>[] = [];
  readonly #options: CellOptions<Message>;
  readonly #seats = new Map<MemberId, SeatOf<Message>>();
  /** "from>to": what is sent there is lost. */
  readonly #cuts = new Set<string>();
  #flights = 0;

  constructor(options: CellOptions<Message>) {
    this.#options = options;
  }

  get seats(): readonly SeatOf<Message>[] {
    return [...this.#seats.values()];
  }

  seat(member: MemberId): SeatOf<Message> {
    const seat = this.#seats.get(member);
    invariant(seat !== undefined, `no member ${member} in this cell`);
    return seat;
  }

  /** The core of a member that is up. */
  core(member: MemberId): ConsensusCore<Message> {
    const core = this.seat(member).core;
    invariant(core !== undefined, `member ${member} is down`);
    return core;
  }

  add(member: MemberId, disk: RestoredState): void {
    invariant(!this.#seats.has(member), `member ${member} is there already`);
    this.#seats.set(member, { member, core: undefined, disk, pending: [], delivered: 0 });
    this.restart(member);
  }

  restart(member: MemberId): void {
    const seat = this.seat(member);
    invariant(seat.core === undefined, `member ${member} is up`);
    seat.core = this.#options.create(member, seat.disk);
    seat.delivered = seat.core.inspect().delivered;
    this.#options.watch({ type: "started", seat });
  }

  /** Of what was given to the disk, the first `durable` persists got there; nobody heard of it. */
  crash(member: MemberId, durable = 0): void {
    const seat = this.seat(member);
    invariant(seat.core !== undefined, `member ${member} is down already`);
    for (const persist of seat.pending.slice(0, durable)) {
      this.#write(seat, persist);
    }
    seat.pending = [];
    seat.core = undefined;
    this.#options.watch({ type: "crashed", seat });
  }

  step(member: MemberId, input: Input<Message>): readonly Effect<Message>[] {
    const seat = this.seat(member);
    const core = this.core(member);
    this.#options.watch({ type: "input", seat, input });
    const effects = core.step(input);
    for (const effect of effects) {
      freezeEffect(effect);
      this.#options.watch({ type: "effect", seat, effect });
      if (effect.type === "persist") {
        seat.pending.push(effect);
        // Up to there a state snapshot delivers.
        if (effect.restart !== undefined) seat.delivered = effect.restart.index;
      }
      if (effect.type === "send") this.send(member, effect.envelope.to, effect.envelope.message);
      if (effect.type === "commit") seat.delivered = effect.upTo;
    }
    this.#options.watch({ type: "stepped", seat });
    return effects;
  }

  /** The first `count` pending persists become durable; one acknowledgement stands for all. */
  persist(member: MemberId, count = Infinity): void {
    const seat = this.seat(member);
    const done = seat.pending.slice(0, count);
    const last = done.at(-1);
    if (last === undefined) return;
    seat.pending = seat.pending.slice(done.length);
    for (const persist of done) {
      this.#write(seat, persist);
      for (const envelope of persist.sendAfter) this.send(member, envelope.to, envelope.message);
    }
    this.step(member, { type: "persisted", token: last.token });
  }

  /** Also for messages made up by a test. */
  send(from: MemberId, to: MemberId, message: Message): void {
    const flight: FlightOf<Message> = { number: ++this.#flights, from, to, message };
    const lost = this.#cuts.has(`${from}>${to}`);
    this.#options.watch({ type: "sent", flight, lost });
    if (!lost) this.network.push(flight);
  }

  /** To a member that is down it is lost. With `keep` it will come again. */
  deliver(flight: FlightOf<Message>, keep = false): void {
    if (!keep) this.drop(flight);
    if (this.#seats.get(flight.to)?.core !== undefined) {
      this.step(flight.to, { type: "receive", from: flight.from, message: flight.message });
    }
  }

  drop(flight: FlightOf<Message>): void {
    this.network = this.network.filter((other) => other !== flight);
  }

  /** From now on nothing sent from one to the other arrives; what is under way does. */
  cut(from: MemberId, to: MemberId): void {
    this.#cuts.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cuts.clear();
  }

  isCut(from: MemberId, to: MemberId): boolean {
    return this.#cuts.has(`${from}>${to}`);
  }

  /** Completes persists and delivers messages among these members until nothing is left to do. */
  stabilize(members: readonly MemberId[] = this.seats.map((seat) => seat.member)): void {
    const roundsMax = 20_000; // Far beyond the catching up of any log here: more means that members answer for ever.
    for (let round = 0; round < roundsMax; round++) {
      const among = this.network.filter(({ from, to }) => members.includes(from) && members.includes(to));
      const busy = this.seats.filter((seat) => members.includes(seat.member) && seat.pending.length > 0);
      if (among.length === 0 && busy.length === 0) return;
      for (const seat of busy) this.persist(seat.member);
      for (const flight of among) this.deliver(flight);
    }
    invariant(false, `not quiet after ${roundsMax} rounds`);
  }

  #write(seat: SeatOf<Message>, persist: PersistOf<Message>): void {
    seat.disk = (this.#options.write ?? written)(seat.disk, persist);
    this.#options.watch({ type: "durable", seat, persist });
  }
}

/** What a core has handed out is not its own any more: should it write there later, it throws. */
function freezeEffect<Message>(effect: Effect<Message>): void {
  Object.freeze(effect);
  if (effect.type === "send") freezeMessage(effect.envelope.message);
  if (effect.type !== "persist") return;
  for (const entry of Object.freeze(effect.append)) Object.freeze(entry);
  for (const { message } of Object.freeze(effect.sendAfter)) freezeMessage(message);
}

function freezeMessage(message: unknown): void {
  Object.freeze(message);
  if (typeof message === "object" && message !== null && "entries" in message) Object.freeze(message.entries);
}

/** Of a log without holes. */
export function written<Message>(disk: Disk, persist: PersistOf<Message>): Disk {
  const hardState = persist.hardState ?? disk.hardState;
  let start = persist.restart ?? disk.start;
  let entries = persist.restart === undefined ? disk.entries : [];
  const last = (): number => start.index + entries.length;
  if (persist.truncateFrom !== undefined) {
    const from = persist.truncateFrom;
    invariant(from > start.index && from <= last() + 1, `truncates from ${from}, log is ${start.index}..${last()}`);
    entries = entries.slice(0, from - start.index - 1);
  }
  for (const entry of persist.append) {
    invariant(entry.index === last() + 1, `appends ${entry.index} after ${last()}`);
    entries = [...entries, entry];
  }
  if (persist.trim !== undefined) {
    const trim = persist.trim;
    invariant(
      trim.index >= start.index && trim.index <= last(),
      `trims to ${trim.index}, log ${start.index}..${last()}`,
    );
    const at = entries[trim.index - start.index - 1];
    invariant(at === undefined || at.term === trim.term, `trims at term ${trim.term}, the log has ${at?.term}`);
    entries = entries.slice(trim.index - start.index);
    start = trim;
  }
  return { hardState, start, entries };
}
