/**
 * The trace: one line for everything that happens in a run. Always hashed, so that two runs of one seed can be
 * compared byte for byte (promise P10); kept as text only where somebody wants to read it.
 */

export class Trace {
  readonly #keepLines: boolean;
  readonly #sink: ((line: string) => void) | undefined;
  readonly #lines: string[] = [];
  // Two FNV-1a hashes with different bases: 64 bits together.
  #high = 0x811c9dc5;
  #low = 0x01234567;
  #count = 0;

  constructor(options: { readonly keepLines?: boolean; readonly sink?: (line: string) => void } = {}) {
    this.#keepLines = options.keepLines ?? false;
    this.#sink = options.sink;
  }

  add(line: string): void {
    let high = this.#high;
    let low = this.#low;
    for (let i = 0; i < line.length; i++) {
      const unit = line.charCodeAt(i);
      high = Math.imul(high ^ unit, 0x01000193);
      low = Math.imul(low ^ unit, 0x01000193) + 0x9e37;
    }
    this.#high = Math.imul(high ^ 10, 0x01000193);
    this.#low = Math.imul(low ^ 10, 0x01000193);
    this.#count += 1;
    if (this.#keepLines) this.#lines.push(line);
    this.#sink?.(line);
  }

  /** Something frequent, as numbers: hashed like a line, but shown only where somebody reads. */
  addNumbers(what: number, a: number, b: number, text: () => string): void {
    if (this.#keepLines || this.#sink !== undefined) {
      const line = text();
      if (this.#keepLines) this.#lines.push(line);
      this.#sink?.(line);
    }
    this.#high = Math.imul(Math.imul(this.#high ^ what, 0x01000193) ^ a, 0x01000193);
    this.#low = Math.imul(Math.imul(this.#low ^ b, 0x01000193) ^ a, 0x01000193) + 0x9e37;
    this.#count += 1;
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  get lineCount(): number {
    return this.#count;
  }

  /** 16 hex digits over every line so far. */
  hash(): string {
    return hex(this.#high) + hex(this.#low);
  }
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, "0");
}
