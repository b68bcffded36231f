/**
 * Follows a log on its service: learns of heads, fetches the batches of others, and hands everything to readers in order.
 * What this node appended is handed over without a read. Everything below `end` was delivered to whoever reads.
 */
import { type Clock, invariant, lsn, QuipuError, type Random } from "@quipu/core";
import { RecordWindow } from "../../record-window.ts";
import { Readers, type ReaderSource } from "../reader.ts";
import { type Batch, checksumSeed } from "./batch.ts";
import { BatchIndex } from "./batch-index.ts";
import { BatchReader } from "./batch-reader.ts";
import { Heads } from "./heads.ts";
import type { ExternalMutation } from "./mutation.ts";
import { backOffMs, Pauses } from "./pauses.ts";
import type { ExternalLog, LogHead } from "./service.ts";
import type { ExternalEngineSettings } from "./settings.ts";
import { SharedCall } from "./shared-call.ts";

export interface FollowerOptions {
  readonly log: ExternalLog;
  readonly name: string;
  readonly describe: string;
  readonly head: LogHead;
  readonly clock: Clock;
  readonly random: Random;
  readonly settings: ExternalEngineSettings;
  readonly mutation: ExternalMutation | undefined;
  /** A batch was delivered. */
  readonly onBatch: (batch: Batch) => void;
  /** The log is damaged, or a reader threw: nothing is delivered any more. */
  readonly onFailure: (error: unknown) => void;
}

/** Of the looks at the head that nobody waits for, one in so many is linearizable. */
const looksPerFresh = 16;

export class Follower implements ReaderSource {
  readonly readers: Readers = new Readers(this);
  readonly heads: Heads;
  readonly batches: BatchReader;
  readonly pauses: Pauses;
  readonly #options: FollowerOptions;
  readonly #index: BatchIndex;
  readonly #catchUp: SharedCall<void>;
  readonly #watch: { readonly close: () => void };
  #window: RecordWindow;
  /** Batches below are delivered, or were trimmed before they came here. */
  #nextBatch: number;
  #end: number;
  #isClosed = false;
  #looks = 0;
  /** A hint came that no look has answered; or one with a number. */
  #hinted = false;
  #hintedTo = 0;
  #isAppending = false;
  /** Ends the wait for the next look. */
  #wake: (() => void) | undefined;
  #lookedAtMs: number;

  constructor(options: FollowerOptions) {
    const { log, describe, head, clock, settings } = options;
    this.#options = options;
    this.pauses = new Pauses(clock);
    this.#nextBatch = head.nextBatch;
    this.#end = head.tail;
    this.#window = new RecordWindow(settings.windowBytesMax);
    this.#index = new BatchIndex(settings.indexMax, head.nextBatch);
    this.heads = new Heads(log, describe, head, {
      changed: () => this.#headChanged(),
      damaged: (error) => this.fail(error),
    });
    const seed = checksumSeed(options.name);
    this.batches = new BatchReader({
      ...{ log, heads: this.heads, index: this.#index, describe, checksumSeed: seed },
    });
    this.#catchUp = new SharedCall(() => this.#catchUpNow());
    this.#lookedAtMs = clock.monotonicMs();
    this.#watch = log.watch((nextBatch) => this.#hint(nextBatch));
    void this.#follow();
  }

  /** First position that was not delivered. */
  get end(): number {
    return this.#end;
  }

  get first(): number {
    return this.heads.newest.trimmedUpTo + 1;
  }

  get nextBatch(): number {
    return this.#nextBatch;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The newest head known is that of what was delivered: neither is behind the other. */
  get isAtHead(): boolean {
    return this.#nextBatch === this.heads.newest.nextBatch;
  }

  /** There are batches to fetch. */
  get #isBehind(): boolean {
    return this.#nextBatch < this.heads.newest.nextBatch;
  }

  /** The log is sealed, and all of it was delivered. */
  get isFinal(): boolean {
    return this.heads.newest.sealed && this.isAtHead;
  }

  /** The head as of some moment after the call, with everything below it delivered. Rejects as the service does. */
  async refresh(expectsBatches: boolean = true): Promise<LogHead> {
    return await this.#refresh(() => this.heads.fresh(), expectsBatches);
  }

  /** The same where it is known that the log has gone on beyond batch `number`: a cheap look will do, if it shows that. */
  async refreshBeyond(number: number): Promise<LogHead> {
    const head = await this.#refresh(() => this.heads.recent(), true);
    return head.nextBatch > number || head.sealed ? head : await this.refresh();
  }

  async #refresh(look: () => Promise<unknown>, expectsBatches: boolean): Promise<LogHead> {
    // What the new head brings is probably a batch or two: asked for at the same time as the head itself.
    const early = expectsBatches ? this.#pull(this.#nextBatch) : Promise.resolve();
    await Promise.all([look(), early.catch(() => undefined)]);
    // Up to the newest head, which may have come while this one's batches were fetched.
    while (!this.#isClosed && this.#isBehind) await this.#catchUp.call();
    return this.heads.newest;
  }

  /** This node's append is under way: a hint of one more batch is probably of that one, which its answer will bring. */
  set isAppending(isAppending: boolean) {
    this.#isAppending = isAppending;
    if (this.#isHinted) this.#wake?.();
  }

  get #isHinted(): boolean {
    return this.#hinted || this.#hintedTo > this.#nextBatch + (this.#isAppending ? 1 : 0);
  }

  /** This node's append succeeded: `batch` is in the log, and `head` stands behind it. */
  appended(batch: Batch, head: LogHead): void {
    this.#lookedAtMs = this.#options.clock.monotonicMs();
    // Before the head, which says that there is something to fetch.
    if (batch.number === this.#nextBatch) this.#take(batch);
    this.heads.learn(head);
  }

  fail(error: unknown): void {
    if (this.#isClosed) return;
    this.close();
    this.#options.onFailure(error);
  }

  close(): void {
    this.#isClosed = true;
    this.readers.closeAll();
    this.#watch.close();
    this.pauses.end();
    this.#wake?.();
  }

  // Where the readers find what was delivered before they came.

  recent(from: number): readonly Uint8Array[] | undefined {
    return this.#window.batchFrom(from);
  }

  async older(from: number): Promise<readonly Uint8Array[] | undefined> {
    const { random, settings, mutation } = this.#options;
    for (let failures = 1; !this.#isClosed; failures++) {
      try {
        return await this.#readFrom(from);
      } catch (error) {
        if (isDamage(error) && mutation === "hole-passed") return [new Uint8Array(0)];
        if (!isUnreachable(error)) throw error;
        await this.pauses.pause(backOffMs(failures, settings.retryMs, settings.retryMsMax, random));
      }
    }
    return undefined;
  }

  async #readFrom(from: number): Promise<readonly Uint8Array[] | undefined> {
    const end = this.#end;
    const found = await this.batches.find(from);
    if (found === undefined) return undefined;
    const batches = await this.batches.read(found, this.#options.settings.readBytesMax);
    const records: Uint8Array[] = [];
    for (const batch of batches) {
      // Beyond it, records are delivered when the tail here has passed them.
      if (batch.first >= end) break;
      for (const [i, bytes] of batch.records.entries()) if (batch.first + i >= from) records.push(bytes);
      this.#index.mark(batch.number + 1, batch.first + batch.records.length);
    }
    if (batches.length > 0 && records.length === 0) {
      throw this.batches.damage(found, `position ${from} is not in it`);
    }
    return batches.length === 0 ? undefined : records;
  }

  #hint(nextBatch: number | undefined): void {
    if (this.#isClosed) return;
    if (nextBatch !== undefined && this.#options.mutation === "hint-trusted") {
      this.heads.learn({ ...this.heads.newest, nextBatch });
    }
    if (nextBatch === undefined && !this.#isAppending) this.#hinted = true;
    else this.#hintedTo = Math.max(this.#hintedTo, nextBatch ?? this.#nextBatch + 1);
    if (this.#isHinted) this.#wake?.();
  }

  /** Looks at the head from time to time, sooner where a hint came, and fetches what is new. */
  async #follow(): Promise<void> {
    const { clock, random, settings } = this.#options;
    let failures = 0;
    while (!this.#isClosed && !this.isFinal) {
      await this.#untilLook(failures === 0 ? 0 : backOffMs(failures, settings.retryMs, settings.retryMsMax, random));
      if (this.isClosed) return;
      const isHinted = this.#isHinted;
      this.#hinted = false;
      this.#hintedTo = 0;
      this.#lookedAtMs = clock.monotonicMs();
      try {
        // Who wants to be sure asks for himself; whether what was there is still there is found out now and then.
        this.#looks += 1;
        const isCheap = this.#looks % looksPerFresh !== 0;
        await this.#refresh(() => (isCheap ? this.heads.recent() : this.heads.fresh()), isHinted);
        failures = 0;
      } catch (error) {
        if (isDamage(error)) this.fail(error);
        failures += 1;
      }
    }
    this.#watch.close();
  }

  /** Waits `pauseMs` if that is more than 0, else for a hint or until the last look is old. */
  async #untilLook(pauseMs: number): Promise<void> {
    if (pauseMs > 0) return this.pauses.pause(pauseMs);
    const { clock, settings } = this.#options;
    while (!this.#isClosed && !this.#isHinted && !this.#isBehind && !this.isFinal) {
      const waitMs = this.#lookedAtMs + settings.pollMs - clock.monotonicMs();
      if (waitMs <= 0) return;
      await new Promise<void>((resolve) => {
        const cancel = clock.setTimer(waitMs, resolve);
        this.#wake = () => {
          cancel();
          resolve();
        };
      });
      this.#wake = undefined;
    }
  }

  #headChanged(): void {
    const { firstBatch, trimmedUpTo } = this.heads.newest;
    if (firstBatch > this.#nextBatch) this.#passOver(firstBatch, trimmedUpTo);
    this.#checkEnd();
    if (this.#isBehind || this.isFinal) this.#wake?.();
  }

  /** Batches were trimmed before they came here. */
  #passOver(firstBatch: number, trimmedUpTo: number): void {
    this.#nextBatch = firstBatch;
    this.#end = trimmedUpTo + 1;
    this.#window = new RecordWindow(this.#options.settings.windowBytesMax);
    this.#index.restart(firstBatch);
    this.readers.skip(trimmedUpTo);
  }

  async #catchUpNow(): Promise<void> {
    while (!this.#isClosed && this.#isBehind) await this.#pull(this.#nextBatch);
  }

  /** Fetches batches from number `from` on, which is not delivered, and delivers what is new of them. */
  async #pull(from: number): Promise<void> {
    try {
      const batches = await this.batches.read(from, this.#options.settings.readBytesMax);
      for (const batch of batches) {
        if (this.#isClosed) return;
        // Another read, or an append's answer, may have been faster.
        if (batch.number < this.#nextBatch) continue;
        if (batch.first !== this.#end) {
          throw this.batches.damage(batch.number, `it begins at position ${batch.first}, not ${this.#end}`);
        }
        this.#take(batch);
      }
    } catch (error) {
      if (isDamage(error)) this.fail(error);
      throw error;
    }
  }

  #take(batch: Batch): void {
    invariant(batch.number === this.#nextBatch, `batch ${batch.number} is not ${this.#nextBatch}`);
    invariant(batch.first === this.#end, `batch ${batch.number} begins at ${batch.first}, not ${this.#end}`);
    this.#nextBatch += 1;
    this.#end += batch.records.length;
    this.#window.push(batch.first, batch.records);
    this.#index.add(batch.number, batch.first);
    try {
      this.readers.deliver(batch.first, batch.records);
    } catch (error) {
      this.fail(error);
      return;
    }
    this.#options.onBatch(batch);
    this.#checkEnd();
  }

  /** The positions of the batches and the head's tail must come out the same. */
  #checkEnd(): void {
    const { nextBatch, tail } = this.heads.newest;
    if (this.#nextBatch !== nextBatch || this.#end === tail) return;
    this.fail(
      this.batches.damage(nextBatch - 1, `it ends before position ${this.#end}, the log's tail is ${lsn(tail)}`),
    );
  }
}

function isDamage(error: unknown): boolean {
  return !(error instanceof QuipuError) || error.code === "LOG_CORRUPT";
}

/** The service may be back later. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof QuipuError && (error.code === "NOQUORUM" || error.code === "LOG_APPEND_UNKNOWN");
}
