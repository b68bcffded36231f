/**
 * Writes what a core wants persisted to the write-ahead log, in order. One write of a group is under way at a time;
 * what is persisted meanwhile goes together into the next one, which is queued in the very callback that ends the first,
 * so it misses no frame. A core cannot take a persist back: what the log refuses (full disk, full queue) is kept and
 * tried again, and everything that has to wait for it waits.
 */
import type { Entry, Envelope } from "@quipu/consensus";
import { QuipuError } from "@quipu/core";
import type { GroupWrite } from "../../write-ahead-log/group-write.ts";
import type { Completion } from "../../write-ahead-log/write-ahead-log.ts";
import type { GroupHost, PersistContent, PersistEffect } from "./group-host.ts";
import type { LogLayout, PlannedWrite } from "./log-layout.ts";

/** What an entry takes in the write-ahead log beside its data, at most: headers, slot, term, a configuration of usual size. */
const entryOverheadBytes = 128;

/** Where group writes go: the write-ahead log. */
export interface GroupWriter {
  write(group: number, write: GroupWrite, done: Completion): void;
}

export interface PersisterHooks<Message> {
  /** All persists up to the one with `token` are durable; these messages may leave now. Called inside of a job. */
  durable(token: number, sendAfter: readonly Envelope<Message>[]): void;
  failed(error: unknown): void;
}

export class Persister<Message> {
  readonly #host: GroupHost;
  readonly #writer: GroupWriter;
  readonly #hooks: PersisterHooks<Message>;
  readonly #layout: LogLayout;
  /** In order; not those in the write under way. */
  readonly #waiting: (PersistEffect<Message> & PersistContent)[] = [];
  #busy = false;
  /** The disk had no room for the last write. */
  #full = false;
  #retryTicks = 0;
  /** Who waits until everything persisted before is durable; called with the token that makes it so. */
  #onDurable: { readonly token: number; readonly action: () => void }[] = [];
  #lastToken = 0;
  #durableToken = 0;

  constructor(host: GroupHost, writer: GroupWriter, hooks: PersisterHooks<Message>, layout: LogLayout) {
    this.#host = host;
    this.#writer = writer;
    this.#hooks = hooks;
    this.#layout = layout;
  }

  /** True while the disk has no room for what must be persisted. */
  get full(): boolean {
    return this.#full;
  }

  add(effect: PersistEffect<Message>): void {
    const tokenBefore = this.#lastToken;
    this.#lastToken = effect.token;
    const last = this.#waiting.at(-1);
    if (last !== undefined && this.#waiting.length >= this.#host.settings.persistsWaitingMax && isMessage(effect)) {
      // While the disk refuses everything, peers go on asking: their answers are lost, as messages may be.
      const { token } = effect;
      this.#waiting.splice(-1, 1, { ...last, token });
    } else if (this.#layout.maySplit && bytesOf(effect) > this.#host.settings.persistBytesMax) {
      this.#waiting.push(...pieces(effect, tokenBefore, this.#host.settings.persistBytesMax));
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
    this.#write(this.#layout.planRewrite(entries), () => undefined, "may be refused");
    return true;
  }

  #begin(): void {
    if (this.#busy || this.#waiting.length === 0 || this.#retryTicks > 0) return;
    if (this.#full && this.#trimAhead()) return;
    const effects = this.#waiting.splice(0, this.#count());
    const planned = this.#layout.plan(effects);
    if (planned === undefined) {
      // Only messages that wait for what is durable by now.
      this.#written(effects);
      this.#begin();
      return;
    }
    this.#write(planned, (error) => {
      if (error === undefined) this.#written(effects);
      else this.#waiting.unshift(...effects);
    });
  }

  /** How many of those that wait fit into one write. On a full disk one by one: what needs no room gets through. */
  #count(): number {
    if (this.#full) return 1;
    let bytes = 0;
    let count = 0;
    for (const effect of this.#waiting) {
      bytes += bytesOf(effect);
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
    const planned = trim === undefined ? undefined : this.#layout.planTrim(trim);
    if (planned === undefined) return false;
    this.#write(planned, () => undefined);
    return true;
  }

  #write(
    planned: PlannedWrite,
    ended: (error: QuipuError | undefined) => void,
    necessity: "needed" | "may be refused" = "needed",
  ): void {
    this.#busy = true;
    const done = (error: QuipuError | undefined): void => {
      this.#host.run(() => {
        this.#busy = false;
        if (error === undefined) planned.done();
        ended(error);
        if (error === undefined) this.#full = false;
        else if (necessity === "needed" || error.code === "DISK_FAILED") this.#refused(error);
        this.#begin();
      });
    };
    try {
      this.#writer.write(this.#host.group, planned.write, done);
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

  #written(effects: readonly PersistEffect<Message>[]): void {
    const sendAfter: Envelope<Message>[] = [];
    for (const effect of effects) for (const envelope of effect.sendAfter) sendAfter.push(envelope);
    const token = effects.at(-1)?.token ?? this.#durableToken;
    // A piece of a large one, which is not there yet.
    if (token === this.#durableToken) return;
    this.#durableToken = token;
    this.#hooks.durable(this.#durableToken, sendAfter);
    while (this.#onDurable[0] !== undefined && this.#onDurable[0].token <= this.#durableToken) {
      this.#onDurable.shift()?.action();
    }
  }
}

function bytesOf({ append }: PersistContent): number {
  let bytes = 0;
  for (const entry of append) bytes += bytesOfEntry(entry);
  return bytes;
}

function bytesOfEntry(entry: Entry): number {
  return entryOverheadBytes + (entry.kind === "record" ? entry.data.length : 0);
}

/**
 * In order; all but the last under the token of the persist before, so that nobody takes them for the whole. What was
 * promised stands before what was accepted under it; a new beginning is last, for all of it is there by then.
 */
function pieces<Message>(
  effect: PersistEffect<Message>,
  tokenBefore: number,
  bytesMax: number,
): readonly (PersistEffect<Message> & PersistContent)[] {
  const { append, restart } = effect;
  const parts: Entry[][] = [[]];
  let bytes = 0;
  for (const entry of append) {
    bytes += bytesOfEntry(entry);
    if (bytes > bytesMax && parts.at(-1)?.length !== 0) {
      parts.push([]);
      bytes = bytesOfEntry(entry);
    }
    parts.at(-1)?.push(entry);
  }
  const last = parts.length - 1;
  const decisive = restart === undefined ? 0 : last;
  const nothing = { hardState: undefined, restart: undefined, trim: undefined, truncateFrom: undefined };
  return parts.map((part, i) => ({
    ...effect,
    ...(i !== decisive && nothing),
    ...(i < last && { token: tokenBefore, sendAfter: [] }),
    ...(i === last && restart !== undefined && { restated: append }),
    append: part,
  }));
}

/** Nothing of it goes to the disk. */
function isMessage({ hardState, restart, trim, truncateFrom, append }: PersistContent): boolean {
  const parts = [hardState, restart, trim, truncateFrom];
  return parts.every((part) => part === undefined) && append.length === 0;
}
