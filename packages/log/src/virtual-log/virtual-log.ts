/**
 * The virtual log: a chain of loglets that looks like one log which is never sealed.
 *
 * The chain lives in a metadata store and changes by compare-and-set only. A switch: prepare the new
 * loglet, seal the old one, read its final tail, compare-and-set the chain. Whoever dies in between leaves
 * a sealed chain, which anyone completes (Delos, OSDI 2020, section 4).
 */
import { emptyConfiguration } from "@quipu/consensus";
import { invariant, lsn, type Lsn, QuipuError } from "@quipu/core";
import type {
  Appended,
  Chain,
  ChainSegment,
  LogDelivery,
  LogletEngine,
  LogReplication,
  MetadataStore,
  Subscription,
  Tail,
  VirtualLog,
} from "../loglet.ts";
import { decodeChain, encodeChain, extended, withoutBefore } from "./chain.ts";
import { ChainReader } from "./chain-reader.ts";
import { OpenSegment } from "./open-segment.ts";

export interface VirtualLogOptions {
  readonly metadata: MetadataStore;
  /** Register that holds the chain. */
  readonly key: string;
  readonly engines: Readonly<Record<string, LogletEngine>>;
  /** For the first segment, if there is no chain yet. */
  readonly initialEngine: string;
}

/** One call follows this many seals. More mean that completing the chain fails, and the caller should hear. */
const attemptsMax = 10;

/** Opens the log, or founds it. A chain that was left sealed is completed first. */
export async function openVirtualLog(options: VirtualLogOptions): Promise<VirtualLog> {
  const chain = (await load(options)) ?? (await found(options));
  const log = new ChainedLog(options, chain);
  await log.start();
  return log;
}

interface AppendRequest {
  /** Counts the calls of `append`. */
  readonly number: number;
  readonly records: readonly Uint8Array[];
  readonly attempt: number;
}

class ChainedLog implements VirtualLog {
  readonly #options: VirtualLogOptions;
  #chain: Chain;
  #segments: OpenSegment[] = [];
  readonly #readers: Set<ChainReader> = new Set();
  readonly #onSnapshotNeeded: ((source: number, atLeast: Lsn) => void)[] = [];
  /** The change of the chain under way; appends wait behind it. */
  #changing: Promise<void> | undefined;
  /** Appends that wait for the change. */
  #held: { readonly number: number; readonly go: () => void }[] = [];
  #appends = 0;
  #closed = false;

  constructor(options: VirtualLogOptions, chain: Chain) {
    this.#options = options;
    this.#chain = chain;
  }

  async start(): Promise<void> {
    await this.#adopt(this.#chain);
    // A log on several nodes may be without a quorum for long, and without a state on this one: opening must not wait
    // for it. Whoever appends or asks for the tail completes the chain.
    if (this.replication() === undefined) await this.finishSealedChain();
  }

  append(records: readonly Uint8Array[]): Promise<Appended> {
    return this.#append({ number: ++this.#appends, records, attempt: 1 });
  }

  async tail(): Promise<Tail> {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      await this.#changing?.catch(() => undefined);
      const last = this.#last();
      const tail = await last.tail();
      if (!tail.sealed) return tail;
      if (last === this.#last()) await this.finishSealedChain();
    }
    throw new QuipuError("OVERLOADED", `the log was sealed ${attemptsMax} times during one look at its tail`);
  }

  tailNow(): Tail | undefined {
    if (this.#changing !== undefined) return undefined;
    const tail = this.#last().tailNow();
    return tail?.sealed === true ? undefined : tail;
  }

  read(from: Lsn, onDelivery: (delivery: LogDelivery) => void): Subscription {
    const reader = new ChainReader(
      () => this.#segments,
      from,
      onDelivery,
      (closed) => this.#readers.delete(closed),
    );
    this.#readers.add(reader);
    // Never a delivery before `read` has returned, and following may deliver a gap at once.
    void Promise.resolve().then(() => reader.follow());
    return reader;
  }

  async trim(upTo: Lsn): Promise<void> {
    for (const segment of [...this.#segments]) await segment.trim(upTo);
    // Where several nodes keep a log, others may need what this one needs no more; its engine knows what may go.
    const shared = this.#segments.find((segment) => segment.replication() !== undefined);
    const first = lsn(Math.min(upTo + 1, shared?.base ?? Number.POSITIVE_INFINITY));
    if (this.#segments.some(({ end }) => end !== undefined && end <= first)) {
      await this.#change(() => this.#dropBefore(first));
    }
  }

  /** Of whatever segment is the last one when it is used. */
  replication(): LogReplication | undefined {
    if (this.#last().replication() === undefined) return undefined;
    return {
      startAt: (position) => this.#last().replication()?.startAt(position),
      installed: async (start) => this.#last().replication()?.installed(start),
      agreedUpTo: () => this.#last().replication()?.agreedUpTo() ?? lsn(0),
      configuration: () => this.#last().replication()?.configuration() ?? emptyConfiguration,
      onSnapshotNeeded: (handler) => void this.#onSnapshotNeeded.push(handler),
    };
  }

  chain(): Chain {
    return this.#chain;
  }

  async reconfigure(engine: string): Promise<Chain> {
    await this.#change(() => this.#extend(engine));
    return this.#chain;
  }

  async finishSealedChain(): Promise<void> {
    const { sealed } = await this.#last().tail();
    if (sealed) await this.#change(() => this.#finish());
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#changing?.catch(() => undefined);
    for (const reader of this.#readers) reader.close();
    for (const { loglet } of this.#segments) await loglet.close();
  }

  #append(request: AppendRequest): Promise<Appended> {
    if (this.#closed) return Promise.reject(new QuipuError("SHUTTING_DOWN", "the log is closed"));
    if (this.#changing !== undefined) return this.#hold(request);
    const segment = this.#last();
    segment.appending++;
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
    if (this.#changing === undefined && sealed === this.#last()) void this.#change(() => this.#finish());
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

  #last(): OpenSegment {
    const last = this.#segments.at(-1);
    invariant(last !== undefined, "a virtual log has a segment");
    return last;
  }

  /** One change of the chain at a time. Appends are held meanwhile and let go, in order, in one turn. */
  #change(action: () => Promise<void>): Promise<void> {
    const before = this.#changing ?? Promise.resolve();
    const changing: Promise<void> = before
      .catch(() => undefined)
      .then(action)
      .finally(() => {
        if (this.#changing !== changing) return;
        this.#changing = undefined;
        // In the order of the calls: one that the old segment refused may have come here after a later one.
        const held = this.#held.toSorted((left, right) => left.number - right.number);
        this.#held = [];
        for (const { go } of held) go();
      });
    this.#changing = changing;
    // Whoever asked for the change sees its failure; appends that wait try for themselves.
    changing.catch(() => undefined);
    return changing;
  }

  /** The last segment is, or is about to be found, sealed: follow whoever sealed it, or complete their work. */
  async #finish(): Promise<void> {
    const stored = await load(this.#options);
    if (stored !== undefined && stored.version > this.#chain.version) await this.#adopt(stored);
    const last = this.#last();
    if ((await last.tail()).sealed) await this.#extend(last.engine);
  }

  async #extend(engine: string): Promise<void> {
    const old = this.#last();
    const next = this.#engine(engine);
    // Before the seal, so that nobody waits for it.
    const parameters = await next.prepare();
    const end = await sealedTail(old).catch(async (error: unknown) => {
      await next.discard(parameters);
      throw error;
    });
    const chain = extended(this.#chain, end, engine, parameters);
    if (await this.#store(chain)) {
      await this.#adopt(chain);
      return;
    }
    await next.discard(parameters);
    const stored = await load(this.#options);
    invariant(stored !== undefined, `the chain ${this.#options.key} is gone`);
    await this.#adopt(stored);
  }

  async #dropBefore(first: Lsn): Promise<void> {
    const chain = withoutBefore(this.#chain, first);
    if (chain.segments.length === this.#chain.segments.length) return;
    const dropped = this.#segments.filter(({ end }) => end !== undefined && end <= first);
    // Lost the race: whoever changed the chain is ahead of us, and the next trim comes by again.
    if (!(await this.#store(chain))) return;
    await this.#adopt(chain);
    for (const segment of dropped) {
      await segment.loglet.close();
      await this.#engine(segment.engine).discard(segment.parameters);
    }
  }

  #store(chain: Chain): Promise<boolean> {
    return this.#options.metadata.compareAndSet(this.#options.key, chain.version - 1, encodeChain(chain));
  }

  /** Opens what is new in `chain`, then switches to it in one turn. */
  async #adopt(chain: Chain): Promise<void> {
    // Not by base: an empty segment and its successor share one.
    const known = new Map(this.#segments.map((segment) => [nameOf(segment), segment]));
    const segments: OpenSegment[] = [];
    for (const segment of chain.segments) {
      segments.push(known.get(nameOf(segment)) ?? (await this.#open(segment)));
    }
    // What the old last segment refuses must be held before anything goes to the new one.
    const before = this.#segments.at(-1);
    if (before !== undefined && before !== segments.at(-1)) await before.idle();
    chain.segments.forEach(({ end }, i) => {
      const segment = segments[i];
      if (segment !== undefined) segment.end = end;
    });
    this.#chain = chain;
    this.#segments = segments;
    for (const reader of this.#readers) reader.follow();
  }

  async #open(segment: ChainSegment): Promise<OpenSegment> {
    const loglet = await this.#engine(segment.engine).open(segment.parameters);
    invariant(loglet !== undefined, `this node keeps no part of the segment at ${segment.base}`);
    const open = new OpenSegment(segment, loglet);
    open.replication()?.onSnapshotNeeded((source, atLeast) => {
      // What an older segment lacks is in the state that the last one needs anyway.
      if (open === this.#last()) for (const handler of this.#onSnapshotNeeded) handler(source, atLeast);
    });
    return open;
  }

  #engine(name: string): LogletEngine {
    const engine = this.#options.engines[name];
    if (engine === undefined) throw new QuipuError("INVALID_CONFIGURATION", `there is no log engine "${name}"`);
    return engine;
  }
}

/** Seals the segment and returns its final tail. */
async function sealedTail(segment: OpenSegment): Promise<Lsn> {
  await segment.loglet.seal();
  const { tail, sealed } = await segment.tail();
  invariant(sealed, `the segment at ${segment.base} is not sealed after its seal`);
  return tail;
}

function nameOf(segment: { readonly engine: string; readonly parameters: string }): string {
  return JSON.stringify([segment.engine, segment.parameters]);
}

async function load(options: VirtualLogOptions): Promise<Chain | undefined> {
  const stored = await options.metadata.get(options.key);
  return stored === undefined ? undefined : decodeChain(options.key, stored.version, stored.value);
}

async function found(options: VirtualLogOptions): Promise<Chain> {
  const { metadata, key, engines, initialEngine } = options;
  const engine = engines[initialEngine];
  if (engine === undefined) throw new QuipuError("INVALID_CONFIGURATION", `there is no log engine "${initialEngine}"`);
  const parameters = await engine.prepare();
  const chain: Chain = { version: 1, segments: [{ base: lsn(1), engine: initialEngine, parameters }] };
  if (await metadata.compareAndSet(key, 0, encodeChain(chain))) return chain;
  await engine.discard(parameters);
  const stored = await load(options);
  invariant(stored !== undefined, `the chain ${key} was there and is gone`);
  return stored;
}
