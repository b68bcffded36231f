/** A block of lines that is drawn over itself, with notes above it. Elsewhere than on a terminal only the notes. */
import type { ProgressOutput } from "./progress.ts";

const columnsUnknown = 80;

export class Screen {
  readonly isLive: boolean;
  readonly #output: ProgressOutput;
  #shown: readonly string[] = [];

  constructor(output: ProgressOutput) {
    this.#output = output;
    this.isLive = output.isTTY === true;
  }

  /** Of the terminal; some say 0 where they do not know. */
  get columns(): number {
    const { columns } = this.#output;
    return columns === undefined || columns <= 1 ? columnsUnknown : columns;
  }

  /** Replaces the block. Lines are cut at the width of the terminal: a wrapped one could not be drawn over. */
  show(text: string): void {
    if (!this.isLive) return;
    const { columns } = this;
    const lines = text.split("\n").map((line) => line.slice(0, columns - 1));
    this.#erase();
    this.#output.write(`${lines.join("\n")}\n`);
    this.#shown = lines;
  }

  /** A line that stays, above the block. */
  note(text: string): void {
    const shown = this.#shown;
    this.#erase();
    this.#output.write(`${text}\n`);
    if (shown.length > 0) this.show(shown.join("\n"));
  }

  /** The block stays as it is; what follows is written below it. */
  end(): void {
    this.#shown = [];
  }

  #erase(): void {
    // Up to the first line of the block, then clear to the end of the screen.
    if (this.#shown.length > 0) this.#output.write(`\u001b[${this.#shown.length}A\u001b[0J`);
    this.#shown = [];
  }
}
