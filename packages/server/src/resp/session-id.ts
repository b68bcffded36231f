/**
 * Ids of SDK sessions: `<expiry, 12 hexadecimal digits>-<128 random bits>`. The server keeps nothing of them; the
 * state machine makes an entry at first use and refuses the id for ever once log time passes the expiry (RIFL).
 */
import type { Random } from "@quipu/core";

const expiryDigits = 12;
const randomDigits = 32;
export const sessionIdLength: number = expiryDigits + 1 + randomDigits;

export function makeSessionId(random: Random, expiresAtMs: number): string {
  let id = `${expiresAtMs.toString(16).padStart(expiryDigits, "0")}-`;
  for (let word = 0; word < 4; word++) id += random.uint32().toString(16).padStart(8, "0");
  return id;
}

/** When the id expires, ms since the epoch, or undefined where it is none of ours. */
export function expiryOfSessionId(id: Uint8Array): number | undefined {
  if (id.length !== sessionIdLength || id[expiryDigits] !== 45) return undefined;
  let expiresAtMs = 0;
  for (let at = 0; at < sessionIdLength; at++) {
    if (at === expiryDigits) continue;
    const byte = id[at] as number;
    const digit = byte >= 48 && byte <= 57 ? byte - 48 : byte >= 97 && byte <= 102 ? byte - 87 : -1;
    if (digit < 0) return undefined;
    if (at < expiryDigits) expiresAtMs = expiresAtMs * 16 + digit;
  }
  return expiresAtMs;
}
