/** What an idempotency key is to HTTP: its form, the time it may bear, and its scope. */
import { createHash } from "node:crypto";
import { QuipuError } from "@quipu/core";
import { timeOfUuid7 } from "./resp/uuid7.ts";

/** How long a reply is kept for retries (DESIGN §4.5). */
export const idempotencyRetentionMs: number = 24 * 60 * 60 * 1000;

/** As long as the largest that popular HTTP interfaces accept. */
const idempotencyKeyCharactersMax = 255;

/** The time in a UUID of version 7 in ms since the epoch, or null for any other key. */
export function bornAtMsOf(key: string): number | null {
  const bytes = new TextEncoder().encode(key);
  return timeOfUuid7(bytes, 0, bytes.length);
}

/**
 * The text of an `Idempotency-Key` header. The draft of the IETF wants a quoted string, most clients send it bare:
 * both mean the same key.
 */
export function parseIdempotencyKey(header: string): string {
  const quoted = /^"(.*)"$/.exec(header);
  const key = quoted?.[1] ?? header;
  if (key.length < 1 || key.length > idempotencyKeyCharactersMax || !/^[\x21-\x7e]+$/.test(key)) {
    throw new QuipuError(
      "INVALID_ARGUMENT",
      `Idempotency-Key: expected 1 to ${idempotencyKeyCharactersMax} visible ASCII characters`,
    );
  }
  return key;
}

/**
 * The id of the stored entry. Over HTTP a key belongs to its counter (the path): equal keys on two counters are two
 * keys, even where the counters share a slot. 128 bits of SHA-256, so that an entry is small whatever the key.
 */
export function idempotencyIdOf(database: number, counter: Uint8Array, key: string): Uint8Array {
  const hash = createHash("sha256").update(Uint8Array.of(database, counter.length >> 8, counter.length & 255));
  return new Uint8Array(hash.update(counter).update(key).digest().subarray(0, 16));
}
