/** Reads EDN, as far as recorded histories use it: the data notation of Clojure (edn-format.org). */

/** A keyword is its text with the colon; a map is the list of its keys and values; a set is a list. */
export type Edn = null | boolean | number | string | EdnKeyword | readonly Edn[] | EdnMap;

export interface EdnKeyword {
  readonly keyword: string;
}

export interface EdnMap {
  /** By keyword without its colon; other keys are left out. */
  readonly entries: ReadonlyMap<string, Edn>;
}

/** Deeper than any history nests, and far from the end of the stack. */
const depthMax = 100;
const closing: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

export class EdnError extends Error {
  override readonly name = "EdnError";
}

/** All values of `text`, one after another. Throws {@link EdnError} where it is not EDN. */
export function parseEdn(text: string): readonly Edn[] {
  return new EdnReader(text).all();
}

export function isEdnMap(value: Edn | undefined): value is EdnMap {
  return typeof value === "object" && value !== null && "entries" in value && value.entries instanceof Map;
}

/** The keyword's name, or undefined where `value` is none. */
export function keywordName(value: Edn | undefined): string | undefined {
  return typeof value === "object" && value !== null && "keyword" in value ? value.keyword : undefined;
}

class EdnReader {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  all(): readonly Edn[] {
    const values: Edn[] = [];
    for (this.#skip(); this.#at < this.#text.length; this.#skip()) values.push(this.#value());
    return values;
  }

  #fail(what: string): never {
    const line = this.#text.slice(0, this.#at).split("\n").length;
    throw new EdnError(`line ${line}: ${what}`);
  }

  /** Blanks, commas, comments, discarded values. */
  #skip(): void {
    for (;;) {
      const character = this.#text[this.#at];
      if (character === undefined) return;
      if (character === "," || /\s/.test(character)) this.#at += 1;
      else if (character === ";") {
        const end = this.#text.indexOf("\n", this.#at);
        this.#at = end < 0 ? this.#text.length : end;
      } else if (this.#text.startsWith("#_", this.#at)) {
        this.#at += 2;
        this.#skip();
        this.#value();
      } else return;
    }
  }

  #value(): Edn {
    const character = this.#text[this.#at] ?? this.#fail("ends where a value should be");
    if (character === '"') return this.#string();
    if (character === "(" || character === "[") return this.#sequence(character);
    if (character === "{") return mapOf(this.#sequence(character));
    if (character === "#") {
      // A set, or a tag, which tells about the value after it what no history needs.
      this.#at += 1;
      if (this.#text[this.#at] === "{") return this.#sequence("{");
      this.#token();
      this.#skip();
      return this.#value();
    }
    return this.#atom(this.#token());
  }

  #sequence(opening: string): readonly Edn[] {
    this.#depth += 1;
    if (this.#depth > depthMax) this.#fail(`nested deeper than ${depthMax}`);
    this.#at += 1;
    const values: Edn[] = [];
    for (this.#skip(); this.#text[this.#at] !== closing[opening]; this.#skip()) values.push(this.#value());
    this.#at += 1;
    this.#depth -= 1;
    return values;
  }

  #string(): string {
    const literal = /"(?:[^"\\]|\\[^])*"/y;
    literal.lastIndex = this.#at;
    const found = literal.exec(this.#text)?.[0] ?? this.#fail("a string does not end");
    this.#at += found.length;
    const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r" };
    return found.slice(1, -1).replace(/\\([^])/g, (_, escaped: string) => escapes[escaped] ?? escaped);
  }

  #token(): string {
    const token = /[^\s,;"()[\]{}]+/y;
    token.lastIndex = this.#at;
    const found = token.exec(this.#text)?.[0] ?? this.#fail(`unexpected ${this.#text[this.#at] ?? "end"}`);
    this.#at += found.length;
    return found;
  }

  #atom(token: string): Edn {
    if (token === "nil") return null;
    if (token === "true" || token === "false") return token === "true";
    if (token.startsWith(":")) return { keyword: token.slice(1) };
    if (/^[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[NM]?$/.test(token)) return Number(token.replace(/[NM]$/, ""));
    return token; // A symbol.
  }
}

function mapOf(values: readonly Edn[]): EdnMap {
  if (values.length % 2 !== 0) throw new EdnError(`a map of ${values.length} forms`);
  const entries = new Map<string, Edn>();
  for (let i = 0; i < values.length; i += 2) {
    const name = keywordName(values[i]);
    if (name !== undefined) entries.set(name, values[i + 1] as Edn);
  }
  return { entries };
}
