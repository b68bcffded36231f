/** What a server does with Q.SESSION and Q.BATCH, as plainly as possible: the model the client is tested against. */
import { QuipuError } from "@quipu/core";

const int64Limit = 2n ** 63n;

export type OperationReply = bigint | string | null | Error | readonly (bigint | string | null)[];

interface SessionEntry {
  lowestOpen: number;
  /** What arrived under each number, and what was answered. */
  readonly answered: Map<number, { readonly words: string; readonly replies: readonly OperationReply[] }>;
}

/** A batch's answer, or the error text for all of it. */
export type BatchReply =
  | { readonly replayed: boolean; readonly position: string; readonly replies: readonly OperationReply[] }
  | string;

export class ModelStore {
  readonly values = new Map<string, bigint>();
  nowMs = 1_700_000_000_000;
  /** Breaches of the protocol by the client; must stay empty. */
  readonly breaches: string[] = [];
  /** Called after each operation. */
  onApplied: () => void = () => undefined;
  /** With several front doors a repetition may arrive after its number was closed. Counted, and refused as any. */
  lateAllowed = false;
  late = 0;
  applied = 0;
  replayed = 0;
  #sessions = new Map<string, SessionEntry>();
  #sessionsMade = 0;

  get sessionsMade(): number {
    return this.#sessionsMade;
  }

  openSession(ttlMs: number): { readonly id: string; readonly expiresAtMs: number } {
    this.#sessionsMade++;
    const expiresAtMs = this.nowMs + ttlMs;
    return { id: `s${this.#sessionsMade}.${expiresAtMs}`, expiresAtMs };
  }

  batch(session: string, number: number, lowestOpen: number, words: readonly string[]): BatchReply {
    const expiresAtMs = Number(session.split(".")[1]);
    if (!(expiresAtMs > this.nowMs)) return "SESSIONEXPIRED the session has expired";
    const entry = this.#sessions.get(session) ?? { lowestOpen: 1, answered: new Map() };
    this.#sessions.set(session, entry);
    if (lowestOpen > number) this.breaches.push(`lowest open ${lowestOpen} above its own number ${number}`);
    if (number < entry.lowestOpen) {
      if (this.lateAllowed) this.late++;
      else this.breaches.push(`number ${number} after lowest open ${entry.lowestOpen}`);
      return "SESSIONNUMBER below the lowest open number";
    }
    entry.lowestOpen = Math.max(entry.lowestOpen, lowestOpen);
    for (const old of entry.answered.keys()) if (old < entry.lowestOpen) entry.answered.delete(old);
    const text = JSON.stringify(words);
    const known = entry.answered.get(number);
    if (known !== undefined) {
      if (known.words !== text) this.breaches.push(`number ${number} repeated with other words`);
      this.replayed++;
      return { replayed: true, position: `${this.applied}-0`, replies: known.replies };
    }
    const replies = this.#apply(words);
    entry.answered.set(number, { words: text, replies });
    return { replayed: false, position: `${this.applied}-0`, replies };
  }

  #apply(words: readonly string[]): readonly OperationReply[] {
    const replies: OperationReply[] = [];
    let at = 0;
    const word = (): string => {
      const next = words[at++];
      if (next === undefined) throw new QuipuError("INVALID_ARGUMENT", "a word is missing");
      return next;
    };
    while (at < words.length) {
      this.applied++;
      replies.push(this.#operation(word(), word(), word));
      this.onApplied();
    }
    return replies;
  }

  #operation(verb: string, key: string, word: () => string): OperationReply {
    const present = this.values.get(key);
    switch (verb) {
      case "ADD": {
        const sum = (present ?? 0n) + BigInt(word());
        if (sum >= int64Limit || sum < -int64Limit) return new Error("ERR increment or decrement would overflow");
        if (key.startsWith("stock") && sum < 0n) return new Error("OUTOFBOUNDS below the minimum");
        this.values.set(key, sum);
        return sum;
      }
      case "GET":
        return present === undefined ? null : present.toString();
      case "SET":
        this.values.set(key, BigInt(word()));
        return "OK";
      case "CAS": {
        const expected = word();
        const value = BigInt(word());
        const ok = expected === "~" ? present === undefined : present === BigInt(expected);
        if (ok) this.values.set(key, value);
        return [ok ? 1n : 0n, ok ? value.toString() : (present?.toString() ?? null)];
      }
      case "DEL":
        return this.values.delete(key) ? 1n : 0n;
      default:
        throw new QuipuError("INVALID_ARGUMENT", `unknown operation ${verb}`);
    }
  }
}
