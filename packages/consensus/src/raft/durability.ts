/**
 * What of the log the disk has. Persists are durable in order; each, when it is, makes the log durable up to where it
 * ended then, unless that was truncated meanwhile: an answer for entries that others have replaced says nothing about
 * those others, although they have the same indexes (P6, the ABA race).
 */
import { invariant } from "@quipu/core";
import { lower, moved } from "../entries.ts";
import type { LogIndex } from "../quantities.ts";
import type { RaftMutation } from "./mutation.ts";

interface Issued {
  readonly token: number;
  /** The log is durable up to here when this persist is; lowered by truncation. Ascending along the queue. */
  end: LogIndex;
}

export class Durability {
  readonly #mutation: RaftMutation | undefined;
  #underWay: Issued[] = [];
  #persisted: LogIndex;
  #completedToken = 0;
  #issuedToken = 0;

  constructor(persisted: LogIndex, mutation: RaftMutation | undefined) {
    this.#persisted = persisted;
    this.#mutation = mutation;
  }

  /** Every entry up to this is durable as it stands now. */
  get persisted(): LogIndex {
    return this.#persisted;
  }

  /** The persist with this token, and every one before it, is durable. */
  get completedToken(): number {
    return this.#completedToken;
  }

  /** A persist left; the log ends at `end`. */
  issued(token: number, end: LogIndex): void {
    if (token !== this.#issuedToken + 1) invariant(false, `persist ${token} behind ${this.#issuedToken}`);
    this.#issuedToken = token;
    this.#underWay.push({ token, end });
  }

  truncatedFrom(from: LogIndex): void {
    const kept = moved(from, -1);
    this.#persisted = lower(this.#persisted, kept);
    if (this.#mutation === "stale-acknowledgement") return;
    for (const issued of this.#underWay) issued.end = lower(issued.end, kept);
  }

  /** The log begins anew after `index`; what it covers is durable as a state snapshot. */
  restartedAt(index: LogIndex): void {
    this.#persisted = index;
    for (const issued of this.#underWay) issued.end = lower(issued.end, index);
  }

  /** The answer of the disk; `last` is where the log ends now. */
  completed(token: number, last: LogIndex): void {
    if (!(token <= this.#issuedToken))
      invariant(false, `persist ${token} is durable, the last is ${this.#issuedToken}`);
    if (token <= this.#completedToken) return;
    this.#completedToken = token;
    let done = 0;
    for (const issued of this.#underWay) {
      if (issued.token > token) break;
      done += 1;
      const end = lower(issued.end, last);
      if (end > this.#persisted) this.#persisted = end;
    }
    // Mostly one; a splice would make an array of it.
    if (done === 1) this.#underWay.shift();
    else this.#underWay.splice(0, done);
  }
}
