/**
 * A batch: operations that travel together under one number, and the callers who wait for them.
 * Settled exactly once, whole, either with the replies or with an error.
 */
import { int64Parse, invariant, type Outcome, QuipuError, type ErrorCode } from "@quipu/core";
import { ReplyError, type ReplyValue } from "@quipu/protocol";
import type { Attempt } from "./attempt.ts";
import { replyQuipuError } from "./reply-errors.ts";
import type { Session } from "./session.ts";

export type OperationKind = "add" | "get" | "set" | "compareAndSet" | "delete";

export interface CompareAndSetResult {
  readonly ok: boolean;
  /** The value afterwards: the new one, or the one that was not as expected. Null: the counter is absent. */
  readonly value: bigint | null;
}

/** What an operation resolves with, by kind: bigint, bigint, undefined, CompareAndSetResult, boolean. */
export type OperationResult = bigint | undefined | CompareAndSetResult | boolean;
export type Resolve = (result: OperationResult) => void;
export type Reject = (error: QuipuError) => void;

export class Batch {
  /** In the order of their first operations; never changes. */
  readonly sequence: number;
  readonly deadlineMs: number;
  /** The operations as words in multibulk form; set when the batch takes no more. */
  body: Uint8Array | undefined = undefined;
  /** Words in the body. */
  words = 0;
  /** What the dispatcher counts it for. */
  bytes = 0;
  settled = false;
  /** What it was first sent under; repetitions keep all three, so that their bytes are the same. */
  session: Session | undefined = undefined;
  number = 0;
  lowestOpen = 0;
  /** Sent as plain GETs, outside of any session. */
  plain = false;
  /** Waits to be sent, for the first time or again. */
  queued = true;
  /** The latest sending; undefined: never sent. */
  attempt: Attempt | undefined = undefined;
  /** Sendings whose end is not known. */
  pending = 0;
  /** Some attempt ended without telling whether it was applied. Never goes back to false. */
  inDoubt = false;
  /** Why it was last put back, for whoever must be told in the end. */
  lastRefusal: QuipuError | undefined = undefined;

  readonly #kinds: OperationKind[] = [];
  readonly #resolves: Resolve[] = [];
  readonly #rejects: Reject[] = [];
  /** The keys, as long as there are only reads. */
  #readKeys: string[] | undefined = [];

  constructor(sequence: number, deadlineMs: number) {
    this.sequence = sequence;
    this.deadlineMs = deadlineMs;
  }

  get operations(): number {
    return this.#kinds.length;
  }

  /** The keys to read if it reads only, else undefined. */
  get readKeys(): readonly string[] | undefined {
    return this.#readKeys;
  }

  /** Registers an operation whose words the caller appends to the body. */
  push(kind: OperationKind, key: string, words: number, resolve: Resolve, reject: Reject): void {
    invariant(this.body === undefined, "an operation for a sealed batch");
    this.#kinds.push(kind);
    this.#resolves.push(resolve);
    this.#rejects.push(reject);
    this.words += words;
    if (kind === "get") this.#readKeys?.push(key);
    else this.#readKeys = undefined;
  }

  /** One reply per operation. */
  settle(replies: readonly ReplyValue[]): void {
    if (this.settled) return;
    this.settled = true;
    for (let index = 0; index < this.#kinds.length; index++) {
      const result = readResult(this.#kinds[index] as OperationKind, replies[index]);
      if (result instanceof QuipuError) this.#rejects[index]?.(result);
      else this.#resolves[index]?.(result);
    }
  }

  /** Fails every operation. Definite only if every attempt was (promise P7); a read changes nothing anyway. */
  fail(code: ErrorCode, message: string, cause?: unknown): void {
    if (this.settled) return;
    this.settled = true;
    // What is still under way may yet be applied.
    const isUnknown = this.inDoubt || this.pending > 0;
    const outcome: Outcome = isUnknown && this.#readKeys === undefined ? "unknown" : "definite";
    for (const reject of this.#rejects) reject(new QuipuError(code, message, { outcome, cause }));
  }
}

function readResult(kind: OperationKind, reply: ReplyValue | undefined): OperationResult | QuipuError {
  if (reply instanceof ReplyError) return replyQuipuError(reply);
  switch (kind) {
    case "add":
      if (typeof reply === "number" || typeof reply === "bigint") return BigInt(reply);
      break;
    case "get":
      if (reply === null) return 0n;
      return readInteger(reply) ?? new QuipuError("NOT_AN_INTEGER", "the value is not a 64-bit integer");
    case "set":
      if (reply === "OK") return undefined;
      break;
    case "compareAndSet": {
      const [ok, value] = Array.isArray(reply) ? (reply as readonly ReplyValue[]) : [];
      const number = value === null ? null : readInteger(value);
      if ((ok === 0 || ok === 1) && number !== undefined) return { ok: ok === 1, value: number };
      break;
    }
    case "delete":
      if (reply === 0 || reply === 1) return reply === 1;
      break;
  }
  return new QuipuError("INDOUBT", `the server gave no sensible reply to ${kind}`);
}

function readInteger(value: ReplyValue | undefined): bigint | undefined {
  if (typeof value === "number" || typeof value === "bigint") return BigInt(value);
  const parsed = value instanceof Uint8Array ? int64Parse(value) : undefined;
  return parsed === undefined ? undefined : BigInt(parsed);
}
