/**
 * What is known of the head of one log. All its parts only grow, so of two heads one is the newer, and a service that shows
 * an older one than it has shown before has lost something: it was restored from a backup, or its data was changed.
 */
import { QuipuError } from "@quipu/core";
import type { ExternalLog, LogHead } from "./service.ts";
import { SharedCall } from "./shared-call.ts";

export interface HeadsHooks {
  /** `head` has become the newest known. */
  changed(head: LogHead): void;
  /** What the service shows cannot be. */
  damaged(error: QuipuError): void;
}

export class Heads {
  readonly #log: ExternalLog;
  readonly #describe: string;
  readonly #hooks: HeadsHooks;
  readonly #look: SharedCall<LogHead>;
  #newest: LogHead;

  constructor(log: ExternalLog, describe: string, first: LogHead, hooks: HeadsHooks) {
    this.#log = log;
    this.#describe = describe;
    this.#newest = first;
    this.#hooks = hooks;
    this.#look = new SharedCall(() => this.#lookNow());
  }

  get newest(): LogHead {
    return this.#newest;
  }

  /** Asks the service, once for all who call before the question leaves. Rejects as {@link ExternalLog.head} does. */
  fresh(): Promise<LogHead> {
    return this.#look.call();
  }

  /** The cheap look, where the service has one. It may be older than the newest known. */
  async recent(): Promise<void> {
    if (this.#log.recent === undefined) await this.fresh();
    else this.learn(await this.#log.recent());
  }

  /**
   * A head that the service has shown, perhaps later than a newer one. Appends and trims overtake each other: of each of the
   * two parts the later one counts.
   */
  learn(head: LogHead): void {
    const before = this.#newest;
    const isOrdered =
      (isLogAtLeast(head, before) || isLogAtLeast(before, head)) &&
      (isTrimAtLeast(head, before) || isTrimAtLeast(before, head));
    if (!isOrdered) throw this.#wentBack(before, head);
    const log = isLogAtLeast(head, before) ? head : before;
    const { firstBatch, trimmedUpTo } = isTrimAtLeast(head, before) ? head : before;
    const newest = { ...log, firstBatch, trimmedUpTo };
    if (isSame(before, newest) && before.token === newest.token) return;
    this.#newest = newest;
    this.#hooks.changed(newest);
  }

  async #lookNow(): Promise<LogHead> {
    const before = this.#newest;
    try {
      const head = await this.#log.head();
      if (!isAtLeast(head, before)) throw this.#wentBack(before, head);
      this.learn(head);
      return this.#newest;
    } catch (error) {
      if (error instanceof QuipuError && error.code === "LOG_CORRUPT") this.#hooks.damaged(error);
      throw error;
    }
  }

  #wentBack(before: LogHead, head: LogHead): QuipuError {
    const show = ({ nextBatch, tail, firstBatch, sealed }: LogHead): string =>
      `batches ${firstBatch} to ${nextBatch - 1}, tail ${tail}${sealed ? ", sealed" : ""}`;
    return new QuipuError("LOG_CORRUPT", `${this.#describe}: its head went from ${show(before)} to ${show(head)}`);
  }
}

function isAtLeast(head: LogHead, other: LogHead): boolean {
  return isLogAtLeast(head, other) && isTrimAtLeast(head, other);
}

function isLogAtLeast(head: LogHead, other: LogHead): boolean {
  return head.nextBatch >= other.nextBatch && head.tail >= other.tail && (head.sealed || !other.sealed);
}

function isTrimAtLeast(head: LogHead, other: LogHead): boolean {
  return head.firstBatch >= other.firstBatch && head.trimmedUpTo >= other.trimmedUpTo;
}

function isSame(left: LogHead, right: LogHead): boolean {
  return isAtLeast(left, right) && isAtLeast(right, left);
}
