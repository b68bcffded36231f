/**
 * HTTP requests as commands, outcomes as replies.
 *
 * A change is a transaction of the change and of a description, so that the reply tells value, version, bounds and
 * expiry as of the change itself; preconditions are watches, checked where the change is applied.
 */
import { errorCatalogue, int64Format, int64Parse, type Int64, lsn, type Lsn, QuipuError } from "@quipu/core";
import type { Command, OutcomeValue, Operation, Watch } from "@quipu/counters";
import { bornAtMsOf, idempotencyIdOf, idempotencyRetentionMs, parseIdempotencyKey } from "../idempotency-key.ts";
import type { Answer } from "./promise-caller.ts";
import type { ChangeHeaders, CounterReply, DeleteReply } from "./schemas.ts";

/** All keys of this release live in one shard. */
const onlyShard = 0;

export interface CounterName {
  readonly database: number;
  readonly key: Uint8Array;
  /** The key as the caller wrote it. */
  readonly text: string;
}

/** Longer keys are for the Redis protocol: a URL has its own limit (docs/http.md). */
export const httpKeyBytesMax = 4096;

export function counterName(database: number, text: string): CounterName {
  const key = new TextEncoder().encode(text);
  if (key.length > httpKeyBytesMax) {
    throw new QuipuError("KEY_TOO_LARGE", `the key has ${key.length} bytes; over HTTP the limit is ${httpKeyBytesMax}`);
  }
  return { database, key, text };
}

export function parseInteger(text: string, what: string): Int64 {
  const value = int64Parse(new TextEncoder().encode(text));
  if (value === undefined) {
    throw new QuipuError("INVALID_ARGUMENT", `${what}: ${text} is not a signed 64-bit integer`);
  }
  return value;
}

/** The change, then what the key is like right after it; wrapped so that a retry gets the first reply. */
export function changeCommand(name: CounterName, change: Operation, headers: ChangeHeaders): Command {
  const { database, key } = name;
  const command = {
    type: "transaction",
    watches: watchesOf(name, headers["if-match"]),
    operations: [change, { type: "describe", database, key }],
  } as const;
  const header = headers["idempotency-key"];
  if (header === undefined) return command;
  const id = parseIdempotencyKey(header);
  return {
    type: "once",
    id: idempotencyIdOf(database, key, id),
    retentionMs: idempotencyRetentionMs,
    bornAtMs: bornAtMsOf(id),
    command,
  };
}

/** `If-Match: *` is the change's own condition; a version is a watch. */
function watchesOf({ database, key }: CounterName, ifMatch: string | undefined): readonly Watch[] {
  if (ifMatch === undefined || ifMatch === "*") return [];
  const match = /^"(\d{1,15})-(\d{1,9})"$/.exec(ifMatch);
  if (match === null) {
    throw new QuipuError("INVALID_ARGUMENT", `If-Match: expected one version in quotes, as in "12-1", or *`);
  }
  return [{ database, key, version: { lsn: lsn(Number(match[1])), index: Number(match[2]) } }];
}

/** The items of a change's answer: what the change gave, and the description. */
export function changeItems(answer: Answer): readonly [OutcomeValue, OutcomeValue] {
  const { outcome } = answer;
  if (outcome.type === "error") throw errorOf(outcome);
  if (outcome.type === "nil") throw new QuipuError("PRECONDITION_FAILED", "the version is not the expected one");
  if (outcome.type !== "array" || outcome.items.length !== 2) throw unexpected(outcome);
  const [change, description] = outcome.items as readonly [OutcomeValue, OutcomeValue];
  if (change.type === "error") throw errorOf(change);
  if (change.type === "nil") {
    throw new QuipuError("PRECONDITION_FAILED", "the counter exists, or does not, against the given condition");
  }
  return [change, description];
}

export function errorOf(outcome: Extract<OutcomeValue, { readonly type: "error" }>): QuipuError {
  return new QuipuError(outcome.code, errorCatalogue[outcome.code].summary);
}

export function unexpected(outcome: OutcomeValue): Error {
  return new Error(`unexpected outcome: ${outcome.type}`);
}

/** From the outcome of `describe`: nil, or [value, position text, min | nil, max | nil, expiry ms or -1]. */
export function describeCounter(name: CounterName, description: OutcomeValue, position: Lsn): CounterReply {
  if (description.type === "nil") throw new QuipuError("NOT_FOUND", `there is no counter ${name.text}`);
  if (description.type === "error") throw errorOf(description);
  if (description.type !== "array") throw unexpected(description);
  const [value, version, minimum, maximum, expiry] = description.items;
  if (value?.type === "bytes") {
    throw new QuipuError("NOT_AN_INTEGER", `${name.text} holds a byte string; read it over the Redis protocol`);
  }
  const expiresAt = integerText(expiry);
  return {
    key: name.text,
    value: integerText(value) ?? "",
    version: versionText(version),
    min: integerText(minimum),
    max: integerText(maximum),
    expiresAtMs: expiresAt === "-1" ? null : expiresAt,
    shard: onlyShard,
    position: String(position),
  };
}

export function describeDeletion(name: CounterName, answer: Answer): DeleteReply {
  const [change] = changeItems(answer);
  return {
    key: name.text,
    deleted: change.type === "integer" && change.value === 1,
    shard: onlyShard,
    position: String(answer.position),
  };
}

function integerText(outcome: OutcomeValue | undefined): string | null {
  return outcome?.type === "integer" ? int64Format(outcome.value) : null;
}

function versionText(outcome: OutcomeValue | undefined): string {
  return outcome?.type === "bytes" ? new TextDecoder().decode(outcome.value) : "";
}
