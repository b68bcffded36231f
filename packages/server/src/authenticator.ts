/**
 * Tokens: who may use the front doors. Kept only as SHA-256, compared in constant time.
 *
 * A hash without salt is enough for tokens (256 random bits have no dictionary); passwords would need scrypt.
 */
import { createHash, timingSafeEqual } from "node:crypto";

function sha256(token: string | Uint8Array): Uint8Array {
  return createHash("sha256").update(token).digest();
}

export class Authenticator {
  readonly #hashes: readonly Uint8Array[];

  /** Without tokens everyone is let in; a bind beyond this machine is then refused (PUBLIC_BIND_REFUSED). */
  constructor(tokens: readonly string[]) {
    this.#hashes = tokens.map(sha256);
  }

  /** True if a caller has to give a token before anything else. */
  get required(): boolean {
    return this.#hashes.length > 0;
  }

  /** True if `token` is one of the known ones, or none is required. The time taken does not tell which, or how near. */
  accepts(token: string | Uint8Array): boolean {
    if (!this.required) return true;
    const hash = sha256(token);
    let known = 0;
    for (const each of this.#hashes) known |= Number(timingSafeEqual(each, hash));
    return known === 1;
  }
}
