/** The independent count: a plain map over the same hits, and the keys under which Quipu counts them. */
import { type Hit, type HitField, hitFields } from "./parser.ts";

/** `hits:path:/index.html` and its like. */
export function counterKey(prefix: string, field: HitField, value: string): string {
  return `${prefix}${field}:${value}`;
}

export class Tally {
  readonly #counts = new Map<string, bigint>();
  readonly #prefix: string;
  readonly #fields: readonly HitField[];

  constructor(prefix: string, fields: readonly HitField[] = hitFields) {
    this.#prefix = prefix;
    this.#fields = fields;
  }

  add(hit: Hit): void {
    for (const field of this.#fields) {
      const key = counterKey(this.#prefix, field, hit[field]);
      this.#counts.set(key, (this.#counts.get(key) ?? 0n) + 1n);
    }
  }

  get counts(): ReadonlyMap<string, bigint> {
    return this.#counts;
  }

  /** The most frequent values of one field, ties by name. */
  top(field: HitField, length: number): readonly (readonly [string, bigint])[] {
    const start = counterKey(this.#prefix, field, "");
    return [...this.#counts]
      .filter(([key]) => key.startsWith(start))
      .map(([key, count]): readonly [string, bigint] => [key.slice(start.length), count])
      .sort(([leftKey, left], [rightKey, right]) => Number(right - left) || (leftKey < rightKey ? -1 : 1))
      .slice(0, length);
  }
}

export interface Difference {
  readonly key: string;
  readonly expected: bigint;
  readonly found: bigint | null;
}
