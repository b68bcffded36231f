/**
 * Writes what a core wants persisted to the write-ahead log, in order. One write of a group is under way at a time;
 * what is persisted meanwhile goes together into the next one, which is queued in the very callback that ends the first,
 * so it misses no frame. A core cannot take a persist back: what the log refuses (full disk, full queue) is kept and
 * tried again, and everything that has to wait for it waits.
 */
import type { Entry, Envelope, HardState, LogStart, RaftMessage } from "@quipu/consensus";
import { QuipuError } from "@quipu/core";
import { encodeEntry, encodeGroupState } from "@quipu/protocol";
import type { GroupWrite } from "../../write-ahead-log/group-write.ts";
import type { Completion } from "../../write-ahead-log/write-ahead-log.ts";
import type { GroupHost, PersistEffect } from "./group-host.ts";

/** What an entry takes in the write-ahead log beside its data, at most: headers, term, a configuration of usual size. */
const entryOverheadBytes = 128;

/** Where group writes go: the write-ahead log. */
export interface GroupWriter {
  write(group: number, write: GroupWrite, done: Completion): void;
}

export interface PersisterHooks {
  /** All persists up to the one with `token` are durable; these messages may leave now. Called inside of a job. */
  durable(token: number, sendAfter: readonly Envelope<RaftMessage>[]): void;
  failed(error: unknown): void;
}

export class Persister {
  readonly #host: GroupHost;
  readonly #writer: GroupWriter;
  readonly #hooks: PersisterHooks;
  /** As of the last write handed over. */
  #hardState: HardState;
  #start: LogStart;
  /** In order; not those in the write under way. */
  readonly #waiting: PersistEffect[] = [];
  #busy = false;
  /** The disk had no room for the last write. */
  #full = false;
  #retryTicks = 0;
  /** Who waits until everything persisted before is durable; called with the token that makes it so. */
  #onDurable: { readonly token: number; readonly action: () => void }[] = [];
  #lastToken = 0;
  #durableToken = 0;

  constructor(
    host: GroupHost,
    writer: GroupWriter,
    hooks: PersisterHooks,
    restored: { readonly hardState: HardState; readonly start: LogStart },
  ) {
    this.#host = host;
    this.#writer = writer;
    this.#hooks = hooks;
    this.#hardState = restored.hardState;
    this.#start = restored.start;
  }

  /** True while the disk has no room for what must be persisted. */
  get full(): boolean {
    return this.#full;
  }

  add(effect: PersistEffect): void {
    this.#lastToken = effect.token;
    const last = this.#waiting.at(-1);
    if (last !== undefined && this.#waiting.length >= this.#host.settings.persistsWaitingMax && isMessage(effect)) {
      // While the disk refuses everything, peers go on asking: their answers are lost, as messages may be.
      const { token } = effect;
      this.#waiting.splice(-1, 1, { ...last, token });
    } else {
      this.#waiting.push(effect);
    }
    this.#begin();
  }

  /** Runs `action` inside of a job once everything persisted so far is durable; at once if it is. */
  afterDurable(action: () => void): void {
    if (this.#durableToken === this.#lastToken) action();
    else this.#onDurable.push({ token: this.#lastToken, action });
  }

  tick(): void {
    if (this.#retryTicks > 0) this.#retryTicks--;
    this.#begin();
  }

  /** Writes the whole log once more, so that it stands in the newest segment. False: not now, something is under way. */
  rewrite(entries: readonly Entry[]): boolean {
    if (this.#busy || this.#waiting.length > 0) return false;
    const write = {
      hardState: this.#state(),
      restartAt: this.#start.index + 1,
      ...(entries.length > 0 && { records: entries.map(encodeEntry) }),
    };
    this.#write(write, () => undefined, "may be refused");
    return true;
  }

  #begin(): void {
    if (this.#busy || this.#waiting.length === 0 || this.#retryTicks > 0) return;
    if (this.#full && this.#trimAhead()) return;
    const effects = this.#waiting.splice(0, this.#count());
    const before = { hardState: this.#hardState, start: this.#start };
    for (const { hardState, restart, trim } of effects) {
      if (this.#host.mutation !== "hard-state-not-written") this.#hardState = hardState ?? this.#hardState;
      this.#start = restart ?? this.#start;
      // A later trim may have gone ahead.
      if (trim !== undefined && trim.index > this.#start.index) this.#start = trim;
    }
    const changed = this.#hardState !== before.hardState || this.#start !== before.start;
    const write = { ...mergedWrite(effects), ...(changed && { hardState: this.#state() }) };
    if (Object.keys(write).length === 0) {
      // Only messages that wait for what is durable by now.
      this.#written(effects);
      this.#begin();
      return;
    }
    this.#write(write, (error) => {
      if (error === undefined) {
        this.#written(effects);
        return;
      }
      this.#waiting.unshift(...effects);
      this.#hardState = before.hardState;
      this.#start = before.start;
    });
  }

  /** How many of those that wait fit into one write. On a full disk one by one: what needs no room gets through. */
  #count(): number {
    if (this.#full) return 1;
    let bytes = 0;
    let count = 0;
    for (const { append } of this.#waiting) {
      for (const entry of append) bytes += entryOverheadBytes + (entry.kind === "record" ? entry.data.length : 0);
      if (count > 0 && bytes > this.#host.settings.persistBytesMax) return count;
      count++;
    }
    return count;
  }

  /**
   * On a full disk trims are what makes room, so one that waits behind entries goes first. It may: the entries that it
   * covers are durable, and it changes neither term nor vote. True if it is on its way.
   */
  #trimAhead(): boolean {
    if (this.#waiting.some(({ restart }) => restart !== undefined)) return false;
    const trim = this.#waiting.findLast((effect) => effect.trim !== undefined)?.trim;
    if (trim === undefined || trim.index <= this.#start.index) return false;
    const before = this.#start;
    this.#start = trim;
    this.#write({ hardState: this.#state(), trimUpTo: trim.index }, (error) => {
      if (error !== undefined) this.#start = before;
    });
    return true;
  }

  #write(
    write: GroupWrite,
    ended: (error: QuipuError | undefined) => void,
    necessity: "needed" | "may be refused" = "needed",
  ): void {
    this.#busy = true;
    const done = (error: QuipuError | undefined): void => {
      this.#host.run(() => {
        this.#busy = false;
        ended(error);
        if (error === undefined) this.#full = false;
        else if (necessity === "needed" || error.code === "DISK_FAILED") this.#refused(error);
        this.#begin();
      });
    };
    try {
      this.#writer.write(this.#host.group, write, done);
    } catch (error) {
      if (!(error instanceof QuipuError)) throw error;
      done(error);
    }
  }

  #refused(error: QuipuError): void {
    if (error.code !== "DISK_FULL" && error.code !== "OVERLOADED") {
      // A log that is closing is no failure: what waits stays unwritten, and nobody hears that it was not.
      this.#retryTicks = Number.POSITIVE_INFINITY;
      if (error.code !== "SHUTTING_DOWN") this.#hooks.failed(error);
      return;
    }
    if (error.code === "DISK_FULL") this.#full = true;
    this.#retryTicks = this.#host.settings.persistRetryTicks;
  }

  #written(effects: readonly PersistEffect[]): void {
    const sendAfter: Envelope<RaftMessage>[] = [];
    for (const effect of effects) for (const envelope of effect.sendAfter) sendAfter.push(envelope);
    this.#durableToken = effects.at(-1)?.token ?? this.#durableToken;
    this.#hooks.durable(this.#durableToken, sendAfter);
    while (this.#onDurable[0] !== undefined && this.#onDurable[0].token <= this.#durableToken) {
      this.#onDurable.shift()?.action();
    }
  }

  #state(): Uint8Array {
    return encodeGroupState({ engine: this.#host.engine, hardState: this.#hardState, start: this.#start });
  }
}

/** Nothing of it goes to the disk. */
function isMessage({ hardState, restart, trim, truncateFrom, append }: PersistEffect): boolean {
  const parts = [hardState, restart, trim, truncateFrom];
  return parts.every((part) => part === undefined) && append.length === 0;
}

/** What several persists come to when they are written together, without the hard state. */
function mergedWrite(effects: readonly PersistEffect[]): GroupWrite {
  let restartAt: number | undefined;
  let trimUpTo: number | undefined;
  let truncateFrom: number | undefined;
  let entries: Entry[] = [];
  for (const effect of effects) {
    if (effect.restart !== undefined) {
      restartAt = effect.restart.index + 1;
      trimUpTo = undefined;
      truncateFrom = undefined;
      entries = [];
    }
    if (effect.trim !== undefined) trimUpTo = effect.trim.index;
    if (effect.truncateFrom !== undefined) {
      const first = entries[0]?.index ?? Number.POSITIVE_INFINITY;
      if (effect.truncateFrom < first) truncateFrom = Math.min(truncateFrom ?? first, effect.truncateFrom);
      entries.length = Math.max(0, Math.min(entries.length, effect.truncateFrom - first));
    }
    for (const entry of effect.append) entries.push(entry);
  }
  return {
    ...(restartAt !== undefined && { restartAt }),
    ...(trimUpTo !== undefined && { trimUpTo }),
    ...(truncateFrom !== undefined && { truncateFrom }),
    ...(entries.length > 0 && { records: entries.map(encodeEntry) }),
  };
}
