/**
 * The virtual log: a chain of loglets that looks like one log which is never sealed.
 *
 * The chain lives in a metadata store and changes by compare-and-set only. A switch: make the new loglet ready; say in the
 * chain that it is next; seal the old one, read its final tail, extend the chain (Delos, OSDI 2020, section 4). From
 * the second step on anybody can carry on, and comes to the same chain; so whoever dies on the way holds up nobody.
 * Appends wait from the seal on, until this node has gone over.
 */
import { invariant, lsn, type Lsn, QuipuError } from "@quipu/core";
import type {
  Appended,
  Chain,
  ChainSegment,
  LogDelivery,
  Loglet,
  LogletEngine,
  LogletName,
  LogReplication,
  MetadataStore,
  Subscription,
  Tail,
  VirtualLog,
} from "../loglet.ts";
import { announced, decodeChain, encodeChain, extended, isNamed, nameOf, without } from "./chain.ts";
import { type ChainMembers, ChainReplication } from "./chain-replication.ts";
import { ChainReader } from "./chain-reader.ts";
import type { VirtualLogMutation } from "./mutation.ts";
import { OpenSegment } from "./open-segment.ts";
import { found, load } from "./stored-chain.ts";

export interface VirtualLogOptions {
  readonly metadata: MetadataStore;
  /** Register that holds the chain. */
  readonly key: string;
  readonly engines: Readonly<Record<string, LogletEngine>>;
  /** For the first segment, if there is no chain yet. */
  readonly initialEngine: string;
  /**
   * Several nodes found the log: the first segment is this, for all of them the same, and nobody prepares it. "waits":
   * others found it, this node waits until they have.
   */
  readonly founding?: LogletName | "waits";
  /** The log is kept by the members of a cell, whatever its engines. */
  readonly members?: ChainMembers;
  /** Another chain was adopted. */
  readonly onChain?: (chain: Chain) => void;
  /** Tests only. */
  readonly mutation?: VirtualLogMutation;
}

/** One call follows this many seals. More mean that completing the chain fails, and the caller should hear. */
const attemptsMax = 10;

/** Opens the log, or founds it. A chain that was left sealed is completed first. */
export async function openVirtualLog(options: VirtualLogOptions): Promise<VirtualLog> {
  const { metadata, key } = options;
  const known = metadata.known?.(key);
  if (known !== undefined) {
    const log = new ChainedLog(options);
    try {
      // Without waiting for anybody: perhaps this node is needed for there to be an answer.
      await log.start(decodeChain(key, known.version, known.value));
      return log;
    } catch (error) {
      await log.close();
      // What this node knows may be old, and name what is gone since.
      const chain = await load(options);
      if (chain === undefined || chain.version === known.version) throw error;
    }
  }
  const chain = (await load(options)) ?? (await found(options));
  const log = new ChainedLog(options);
  try {
    await log.start(chain);
    return log;
  } catch (error) {
    await log.close();
    throw error;
  }
}

interface AppendRequest {
  /** Counts the calls of `append`. */
  readonly number: number;
  readonly records: readonly Uint8Array[];
  readonly attempt: number;
}

class ChainedLog implements VirtualLog {
  readonly #options: VirtualLogOptions;
  #chain: Chain = { version: 0, segments: [] };
  #segments: OpenSegment[] = [];
  /** What is to follow, opened ahead. */
  #next: { readonly name: LogletName; readonly loglet: Loglet | undefined } | undefined;
  readonly #readers: Set<ChainReader> = new Set();
  readonly #replication: ChainReplication;
  /** Changes of the chain, one after another. */
  #changes: Promise<unknown> = Promise.resolve();
  /** Resolves when appends go on; undefined: they do. */
  #holding: Promise<void> | undefined;
  /** Appends that wait for that. */
  #held: { readonly number: number; readonly go: () => void }[] = [];
  #appends = 0;
  #watch: Subscription | undefined;
  #closed = false;

  constructor(options: VirtualLogOptions) {
    this.#options = options;
    this.#replication = new ChainReplication({
      members: options.members,
      segments: () => this.#segments,
      nextRead: () => Math.min(...[...this.#readers].map(({ next }) => next)),
      refresh: () => this.#exclusively(() => this.#refresh()),
    });
  }

  async start(chain: Chain): Promise<void> {
    await this.#exclusively(() => this.#adopt(chain));
    const { metadata, key } = this.#options;
    this.#watch = metadata.watch?.(() => {
      if ((metadata.known?.(key)?.version ?? 0) <= this.#chain.version) return;
      // Whoever needs the chain meanwhile tries again.
      this.#exclusively(() => this.#follow()).catch(() => undefined);
    });
    // A log on several nodes may be without a quorum for long, and without a state on this one: opening must not wait
    // for it. Whoever appends or asks for the tail completes the chain.
    if (this.replication() === undefined) await this.finishSealedChain();
  }

  append(records: readonly Uint8Array[]): Promise<Appended> {
    return this.#append({ number: ++this.#appends, records, attempt: 1 });
  }

  async tail(): Promise<Tail> {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      await this.#holding;
      const last = this.#last();
      try {
        const tail = await last.tail();
        if (!tail.sealed) return tail;
      } catch (error) {
        // It was given up on this node while it was asked: there is a successor.
        if (this.#closed || last === this.#last()) throw error;
        continue;
      }
      await this.#exclusively(() => this.#finish(last));
    }
    throw new QuipuError("OVERLOADED", `the log was sealed ${attemptsMax} times during one look at its tail`);
  }

  tailNow(): Tail | undefined {
    if (this.#holding !== undefined) return undefined;
    const tail = this.#last().tailNow();
    return tail?.sealed === true ? undefined : tail;
  }

  read(from: Lsn, onDelivery: (delivery: LogDelivery) => void): Subscription {
    const reader = new ChainReader(
      () => this.#segments,
      from,
      onDelivery,
      (closed) => this.#readers.delete(closed),
      this.#options.mutation,
    );
    this.#readers.add(reader);
    // Never a delivery before `read` has returned, and following may deliver a gap at once.
    void Promise.resolve().then(() => reader.follow());
    return reader;
  }

  async trim(upTo: Lsn): Promise<void> {
    const { members } = this.#options;
    const agreed = members === undefined ? upTo : lsn(Math.min(upTo, members.agreed(upTo)));
    for (const segment of [...this.#segments]) {
      const trimmed = segment.trim(segment.replication === undefined ? agreed : upTo);
      await trimmed.catch((error: unknown) => this.#unlessDropped(segment, error));
    }
    // Best effort: the next trim comes by again.
    await this.dropTrimmed().catch(unlessBroken);
  }

  /** Another node may have dropped the segment, and given back what kept it, before this one has heard of it. */
  async #unlessDropped(segment: OpenSegment, error: unknown): Promise<void> {
    const isGone = error instanceof QuipuError && error.code === "LOG_CORRUPT";
    if (!isGone) throw error;
    if (!this.#segments.includes(segment)) return;
    let isKnown = true;
    await this.#exclusively(() => this.#refresh()).catch((failure: unknown) => {
      unlessBroken(failure);
      isKnown = false;
    });
    if (isKnown && this.#segments.includes(segment)) throw error;
  }

  replication(): LogReplication | undefined {
    const isShared = this.#options.members !== undefined || this.#last().replication !== undefined;
    return isShared ? this.#replication : undefined;
  }

  chain(): Chain {
    return this.#chain;
  }

  wearsOut(): boolean {
    return this.#last().wearsOut;
  }

  async reconfigure(engine: string, request?: string, instead?: LogletName): Promise<Chain> {
    const target = this.#engine(engine);
    // Somebody's switch that is under way comes first.
    await this.#exclusively(() => this.#completeNewest());
    const last = this.#last();
    if (instead !== undefined && !last.is(instead)) return this.#chain;
    // Before the seal, so that nobody waits for it.
    const next = { engine, parameters: await target.prepare(request) };
    await this.#exclusively(async () => {
      await this.#refresh();
      // What was made ready before somebody else's switch never follows it: engines number what they make.
      if (this.#last() === last && this.#chain.next === undefined) await this.#announce(next);
      else await target.discard(next.parameters);
      await this.#completeNewest();
    });
    return this.#chain;
  }

  async finishSealedChain(): Promise<void> {
    const { metadata } = this.#options;
    await this.#exclusively(() => (metadata.known === undefined ? this.#refresh() : this.#follow()));
    const last = this.#last();
    if (this.#chain.next === undefined && (!last.isHere || !(await last.tail()).sealed)) return;
    await this.#exclusively(() => this.#finish(last));
  }

  async dropTrimmed(): Promise<void> {
    const { members } = this.#options;
    if (members !== undefined) for (const reader of [...this.#readers]) reader.look(members.storedElsewhere());
    const [first] = this.#segments;
    if (first?.isTrimmed !== true && first?.isNeededNoMore !== true) return;
    await this.#exclusively(async () => {
      const isLoose = this.#options.mutation === "dropped-on-own-checkpoint";
      const needed = this.#segments.findIndex((segment) => !(isLoose ? segment.isTrimmed : segment.isNeededNoMore));
      if (needed <= 0) return;
      const chain = without(this.#chain, needed);
      // Lost the race: whoever changed the chain is ahead of us, and the next trim comes by again.
      if (await this.#store(chain)) await this.#adopt(chain);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watch?.close();
    for (const reader of this.#readers) reader.close();
    // First: what a change under way waits for ends then.
    await this.#closeSegments();
    await this.#changes.catch(() => undefined);
    await this.#closeSegments();
  }

  async #closeSegments(): Promise<void> {
    for (const segment of this.#segments) await segment.close();
    await this.#next?.loglet?.close();
  }

  // Appends

  #append(request: AppendRequest): Promise<Appended> {
    if (this.#closed) return Promise.reject(new QuipuError("SHUTTING_DOWN", "the log is closed"));
    if (this.#holding !== undefined) return this.#hold(request);
    const segment = this.#last();
    segment.appendBegun();
    return segment.append(request.records).then(
      (appended) => {
        segment.appendEnded();
        return appended;
      },
      (error: unknown) => {
        const sealed = error instanceof QuipuError && error.code === "LOG_SEALED";
        // Held before the segment counts as idle, so that no later append overtakes this one.
        const again = sealed && request.attempt < attemptsMax ? this.#appendToSuccessor(segment, request) : undefined;
        segment.appendEnded();
        if (again === undefined) throw error;
        return again;
      },
    );
  }

  #appendToSuccessor(sealed: OpenSegment, request: AppendRequest): Promise<Appended> {
    if (this.#holding === undefined && sealed === this.#last()) {
      // The caller tries for itself where this fails.
      this.#withAppendsHeld(() => this.#exclusively(() => this.#finish(sealed))).catch(() => undefined);
    }
    return this.#append({ ...request, attempt: request.attempt + 1 });
  }

  #hold(request: AppendRequest): Promise<Appended> {
    return new Promise((resolve, reject) => {
      this.#held.push({
        number: request.number,
        go: () => {
          this.#append(request).then(resolve, reject);
        },
      });
    });
  }

  /** Appends that come meanwhile are let go afterwards, in order, in one turn. Nested calls count as the outer one. */
  async #withAppendsHeld(action: () => Promise<void>): Promise<void> {
    if (this.#holding !== undefined) return action();
    let release = (): void => undefined;
    this.#holding = new Promise((resolve) => (release = resolve));
    try {
      await action();
    } finally {
      this.#holding = undefined;
      // In the order of the calls: one that the old segment refused may have come here after a later one.
      const held = this.#held.toSorted((left, right) => left.number - right.number);
      this.#held = [];
      for (const { go } of held) go();
      release();
    }
  }

  #last(): OpenSegment {
    const last = this.#segments.at(-1);
    invariant(last !== undefined, "a virtual log has a segment");
    return last;
  }

  // Changes of the chain. Everything below runs one at a time.

  #exclusively<Result>(action: () => Promise<Result>): Promise<Result> {
    const change = this.#changes.then(action, action);
    // Whoever asked for the change sees its failure.
    this.#changes = change.catch(() => undefined);
    return change;
  }

  /** `sealed` is, or is about to be found, sealed: follow whoever sealed it, or complete their work. */
  async #finish(sealed: OpenSegment): Promise<void> {
    if (this.#last() !== sealed) return;
    await this.#refresh();
    const last = this.#last();
    if (last !== sealed) return;
    if (this.#chain.next === undefined) {
      if (!last.isHere || !(await last.tail()).sealed) return;
      const { engine } = last.name;
      await this.#announce({ engine, parameters: await this.#engine(engine).prepare() });
    }
    await this.#complete();
  }

  async #completeNewest(): Promise<void> {
    await this.#refresh();
    await this.#complete();
    if (this.#chain.next === undefined) return;
    throw new QuipuError("OVERLOADED", "a switch is under way that this node cannot complete; retry");
  }

  /** Says in the chain that `next` follows; of two who do, one wins, and the other follows. */
  async #announce(next: LogletName): Promise<void> {
    const chain = announced(this.#chain, next);
    // Where this throws, it may have been stored: nothing is given back.
    if (await this.#store(chain)) {
      await this.#adopt(chain);
      return;
    }
    await this.#refresh();
    // A store that goes over a change of its own in a snapshot takes it for somebody else's: the chain itself says.
    if (!isNamed(this.#chain, next)) await this.#engine(next.engine).discard(next.parameters);
  }

  /** Seals the last segment, if a successor is announced, and extends the chain by it. */
  async #complete(): Promise<void> {
    const { next } = this.#chain;
    const last = this.#last();
    // Those who keep the segment complete it.
    if (next === undefined || !last.isHere) return;
    await this.#withAppendsHeld(async () => {
      const end = await this.#finalTail(last);
      const chain = extended(this.#chain, end);
      if (await this.#store(chain)) await this.#adopt(chain);
      else await this.#refresh();
    });
  }

  async #finalTail(segment: OpenSegment): Promise<Lsn> {
    const { mutation } = this.#options;
    if (mutation !== "tail-before-seal" && mutation !== "extended-without-seal") return segment.seal();
    const { tail } = await segment.tail();
    if (mutation === "tail-before-seal") await segment.seal();
    return tail;
  }

  async #store(chain: Chain): Promise<boolean> {
    const { metadata, key, mutation } = this.#options;
    const seen = mutation === "chain-not-conditional" ? (await metadata.get(key))?.version : undefined;
    return metadata.compareAndSet(key, seen ?? chain.version - 1, encodeChain(chain));
  }

  /** The newest chain that there is. */
  async #refresh(): Promise<void> {
    const stored = await load(this.#options);
    invariant(stored !== undefined, `the chain ${this.#options.key} is gone`);
    if (stored.version > this.#chain.version) await this.#adopt(stored);
  }

  /** The newest chain that this node knows of. */
  async #follow(): Promise<void> {
    const { metadata, key } = this.#options;
    const known = metadata.known?.(key);
    if (known === undefined || known.version <= this.#chain.version || this.#closed) return;
    await this.#adopt(decodeChain(key, known.version, known.value));
  }

  /** Opens what is new in `chain`, then goes over to it in one turn. */
  async #adopt(chain: Chain): Promise<void> {
    const before = this.#segments;
    const segments = await this.#openAll(chain);
    const goOver = (): void => {
      chain.segments.forEach(({ end }, i) => {
        const segment = segments[i];
        if (segment !== undefined) segment.end = end;
      });
      this.#chain = chain;
      this.#segments = segments;
      if (segments.some((segment) => segment.name === this.#next?.name)) this.#next = undefined;
      for (const segment of segments) if (!before.includes(segment)) this.#replication.watch(segment);
      for (const reader of this.#readers) reader.follow();
    };
    // Where the last segment stays, appends go on: there may never be a moment without one.
    const last = before.at(-1);
    if (last === undefined || last === segments.at(-1)) goOver();
    else {
      await this.#withAppendsHeld(async () => {
        // What the old last segment refuses must be held before anything goes to the new one.
        await last.idle();
        goOver();
      });
    }
    this.#options.onChain?.(chain);
    await this.#openNext();
    for (const segment of before) {
      if (segments.includes(segment)) continue;
      await segment.close();
      // What is left over no chain names: the engine finds it.
      await this.#engine(segment.name.engine)
        .discard(segment.name.parameters)
        .catch(() => undefined);
    }
  }

  /** Ahead of the switch, so that this node plays its part in it; what fails is tried again when the chain names it. */
  async #openNext(): Promise<void> {
    const name = this.#chain.next;
    if (this.#next !== undefined && (name === undefined || nameOf(name) !== nameOf(this.#next.name))) {
      await this.#next.loglet?.close();
      this.#next = undefined;
    }
    if (name === undefined || this.#next !== undefined) return;
    try {
      this.#next = { name, loglet: await this.#engine(name.engine).open(name.parameters) };
    } catch (error) {
      if (!(error instanceof QuipuError)) throw error;
    }
  }

  async #openAll(chain: Chain): Promise<OpenSegment[]> {
    const segments: OpenSegment[] = [];
    try {
      for (const segment of chain.segments) segments.push(await this.#open(segment));
      return segments;
    } catch (error) {
      for (const segment of segments) if (!this.#segments.includes(segment)) await segment.close();
      throw error;
    }
  }

  async #open(segment: ChainSegment): Promise<OpenSegment> {
    // Not by base: an empty segment and its successor share one.
    const open = this.#segments.find((each) => each.is(segment));
    if (open !== undefined) return open;
    if (this.#next !== undefined && nameOf(this.#next.name) === nameOf(segment)) {
      return new OpenSegment(segment, this.#next.name, this.#next.loglet);
    }
    const { engine, parameters } = segment;
    return new OpenSegment(segment, { engine, parameters }, await this.#engine(engine).open(parameters));
  }

  #engine(name: string): LogletEngine {
    const engine = this.#options.engines[name];
    if (engine === undefined) throw new QuipuError("INVALID_CONFIGURATION", `there is no log engine "${name}"`);
    return engine;
  }
}

/** What the metadata store refuses is tried again later; a broken invariant is not. */
function unlessBroken(error: unknown): void {
  if (!(error instanceof QuipuError)) throw error;
}
