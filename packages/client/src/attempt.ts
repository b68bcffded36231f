/** One sending of a batch on one connection, and what became of it. A batch may have several under way (a hedge). */
import type { QuipuError } from "@quipu/core";
import { ReplyError, type ReplyValue } from "@quipu/protocol";
import type { Batch } from "./batch.ts";
import type { Expectation } from "./connection.ts";
import type { Link } from "./link.ts";
import { isTemporary, replyErrorCode } from "./reply-errors.ts";

/** Hears of the end of each attempt, exactly once. */
export interface AttemptOwner {
  /** One reply per operation. */
  answered(attempt: Attempt, replies: readonly ReplyValue[]): void;
  /** An error for the whole batch. */
  refused(attempt: Attempt, error: ReplyError): void;
  /** Nobody knows whether it was applied. */
  lost(attempt: Attempt, cause: QuipuError | undefined): void;
}

export class Attempt implements Expectation {
  readonly batch: Batch;
  readonly link: Link;
  readonly sentAtMs: number;
  readonly #owner: AttemptOwner;
  /** Replies to plain GETs so far; undefined for a numbered batch, which has one reply. */
  readonly #reads: ReplyValue[] | undefined;

  constructor(batch: Batch, link: Link, sentAtMs: number, owner: AttemptOwner) {
    this.batch = batch;
    this.link = link;
    this.sentAtMs = sentAtMs;
    this.#owner = owner;
    this.#reads = batch.plain ? [] : undefined;
  }

  receive(reply: ReplyValue): boolean {
    if (this.#reads !== undefined) return this.#receiveRead(this.#reads, reply);
    const replies = Array.isArray(reply) ? (reply as readonly ReplyValue[])[2] : undefined;
    if (Array.isArray(replies) && replies.length === this.batch.operations) {
      this.#owner.answered(this, replies as readonly ReplyValue[]);
    } else if (reply instanceof ReplyError) this.#owner.refused(this, reply);
    else {
      // It may well have been applied; asking again under the same number tells, if the server recovers.
      this.link.giveUp("a reply that fits no batch");
      this.#owner.lost(this, undefined);
    }
    return true;
  }

  lost(cause: QuipuError): void {
    this.#owner.lost(this, cause);
  }

  #receiveRead(reads: ReplyValue[], reply: ReplyValue): boolean {
    reads.push(reply);
    if (reads.length < this.batch.operations) return false;
    const refusal = reads.find((each) => each instanceof ReplyError && isTemporary(replyErrorCode(each)));
    if (refusal instanceof ReplyError) this.#owner.refused(this, refusal);
    else this.#owner.answered(this, reads);
    return true;
  }
}
