/** A log on an external service as a loglet. Positions are dense, from 1. */
import { type Clock, invariant, lsn, type Lsn, QuipuError, type Random } from "@quipu/core";
import type { Appended, LogDelivery, Loglet, Subscription, Tail } from "../../loglet.ts";
import { Appends } from "./appends.ts";
import { checksumSeed } from "./batch.ts";
import { Follower, isUnreachable } from "./follower.ts";
import type { ExternalMutation } from "./mutation.ts";
import { backOffMs } from "./pauses.ts";
import type { ExternalLog, LogHead } from "./service.ts";
import type { ExternalEngineSettings } from "./settings.ts";

export interface ExternalLogletOptions {
  readonly log: ExternalLog;
  /** Name of the engine. */
  readonly engine: string;
  /** The log's name on the service. */
  readonly name: string;
  /** Service and log, for errors. */
  readonly describe: string;
  readonly valueBytesMax: number;
  /** As of the opening. */
  readonly head: LogHead;
  readonly clock: Clock;
  readonly random: Random;
  readonly settings: ExternalEngineSettings;
  readonly mutation: ExternalMutation | undefined;
  readonly onDamage: (error: QuipuError) => void;
}

export class ExternalLoglet implements Loglet {
  readonly engine: string;
  readonly #options: ExternalLogletOptions;
  readonly #follower: Follower;
  readonly #appends: Appends;
  /** Callers of `tail` that wait. */
  #tails = 0;
  /** Why nothing goes on here. */
  #closed: QuipuError | undefined;

  constructor(options: ExternalLogletOptions) {
    this.engine = options.engine;
    this.#options = options;
    const follower = new Follower({
      ...options,
      onBatch: (batch) => this.#appends.delivered(batch),
      onFailure: (error) => this.#fail(error),
    });
    this.#follower = follower;
    this.#appends = new Appends({ ...options, follower, checksumSeed: checksumSeed(options.name) });
  }

  get wearsOut(): boolean {
    return this.#follower.heads.newest.wearsOut;
  }

  append(records: readonly Uint8Array[]): Promise<Appended> {
    return this.#appends.append(records);
  }

  async tail(): Promise<Tail> {
    const { settings, describe, mutation } = this.#options;
    if (this.#tails >= settings.tailsMax) {
      throw new QuipuError("OVERLOADED", `${describe}: ${this.#tails} reads wait for the tail of the log`);
    }
    this.#tails += 1;
    try {
      if (!this.#follower.isFinal && mutation !== "tail-from-cache") {
        await this.#untilReached(() => this.#follower.heads.fresh());
      }
    } finally {
      this.#tails -= 1;
    }
    if (this.#closed !== undefined) throw this.#closed;
    // What came meanwhile counts, too: whatever was delivered lies below the tail.
    const { tail, sealed } = this.#follower.heads.newest;
    return { tail: lsn(Math.max(tail, this.#follower.end)), sealed };
  }

  read(from: Lsn, onDelivery: (delivery: LogDelivery) => void): Subscription {
    if (this.#closed !== undefined) return { close: () => undefined };
    return this.#follower.readers.add(from, onDelivery);
  }

  /** Only whole batches go. Where the service cannot be reached, or is full, nothing does; the next trim comes by again. */
  async trim(upTo: Lsn): Promise<void> {
    const { heads, batches } = this.#follower;
    try {
      if (upTo >= this.#follower.end) await this.#follower.refresh();
      if (this.#closed !== undefined) throw this.#closed;
      invariant(upTo < this.#follower.end, `trim to ${upTo}, but the tail is ${this.#follower.end}`);
      if (upTo <= heads.newest.trimmedUpTo) return;
      let firstBatch = this.#follower.nextBatch;
      let trimmedUpTo: number = upTo;
      if (upTo + 1 < this.#follower.end) {
        const found = await batches.find(upTo + 1);
        const [first] = found === undefined ? [] : await batches.read(found, 1);
        if (first === undefined) return;
        firstBatch = first.number;
        trimmedUpTo = first.first - 1;
      }
      if (firstBatch <= heads.newest.firstBatch) return;
      await this.#options.log.trim(firstBatch, lsn(trimmedUpTo));
      // An append may be under way on the head that was; it will find out. Later ones need not.
      await heads.fresh();
    } catch (error) {
      const isFull = error instanceof QuipuError && error.code === "LOG_FULL";
      if (!isUnreachable(error) && !isFull) throw error;
    }
  }

  async seal(): Promise<void> {
    if (this.#follower.heads.newest.sealed) return;
    await this.#untilReached(() => this.#options.log.seal());
    // Whoever appends from here on finds the log sealed without asking.
    await this.#untilReached(() => this.#follower.heads.fresh());
  }

  close(): Promise<void> {
    this.#close(new QuipuError("SHUTTING_DOWN", `${this.#options.describe}: the log is closed`));
    return Promise.resolve();
  }

  /** Does it, again and again while the service cannot be reached; rejects with what it says when that takes too long. */
  async #untilReached(action: () => Promise<unknown>): Promise<void> {
    const { clock, random, settings } = this.#options;
    const sinceMs = clock.monotonicMs();
    for (let failures = 1; ; failures++) {
      if (this.#closed !== undefined) throw this.#closed;
      try {
        await action();
        return;
      } catch (error) {
        if (!isUnreachable(error) || clock.monotonicMs() - sinceMs >= settings.deadlineMs) throw error;
        await this.#follower.pauses.pause(backOffMs(failures, settings.retryMs, settings.retryMsMax, random));
      }
    }
  }

  #fail(error: unknown): void {
    const { describe, onDamage } = this.#options;
    const known = error instanceof QuipuError ? error : undefined;
    const reason = known ?? new QuipuError("LOG_CORRUPT", `${describe}: a reader failed`, { cause: error });
    this.#close(reason);
    onDamage(reason);
  }

  #close(error: QuipuError): void {
    if (this.#closed !== undefined) return;
    this.#closed = error;
    this.#follower.close();
    this.#appends.close(error);
  }
}
