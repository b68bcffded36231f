/** Command lines of scenarios, in pieces. */
import { type MemberId, memberId } from "@quipu/consensus";

/** A command line in pieces: `propose 1 a b batch=2 to 3` has words `1 a b`, options batch, lists to. */
export class Arguments {
  readonly words: readonly string[];
  readonly #lists = new Map<string, string[]>();
  readonly #options = new Map<string, string>();

  constructor(tokens: readonly string[], keywords: readonly string[]) {
    const words: string[] = [];
    let list = words;
    for (const token of tokens) {
      const equals = token.indexOf("=");
      if (keywords.includes(token)) this.#lists.set(token, (list = []));
      else if (equals > 0) this.#options.set(token.slice(0, equals), token.slice(equals + 1));
      else list.push(token);
    }
    this.words = words;
  }

  /** The first word; every command but those for all begins with a member. */
  get member(): MemberId {
    return memberId(Number(this.words[0]));
  }

  members(keyword?: string): MemberId[] {
    const words = keyword === undefined ? this.words : (this.#lists.get(keyword) ?? []);
    return words.map((word) => memberId(Number(word)));
  }

  number(option: string, otherwise: number): number {
    return Number(this.#options.get(option) ?? otherwise);
  }

  option(name: string): string | undefined {
    return this.#options.get(name);
  }

  get options(): ReadonlyMap<string, string> {
    return this.#options;
  }
}
