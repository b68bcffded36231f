/** A progress bar on a terminal; elsewhere a plain line now and then, so that logs stay readable. */
import { formatCount } from "./table.ts";

export interface ProgressOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface ProgressOptions {
  readonly label: string;
  /** Undefined where it is not known: then only the count is shown. */
  readonly total?: number;
  /** How much is done, 0 to 1, where that is known by other means than the count. */
  readonly share?: () => number;
  readonly output: ProgressOutput;
  readonly nowMs: () => number;
}

/** Redrawn ten times a second: smooth enough, and cheap. */
const drawIntervalMs = 100;
/** A line in a log every two seconds. */
const lineIntervalMs = 2000;
const barCharacters = 28;
const columnsUnknown = 80;

export class Progress {
  readonly #options: ProgressOptions;
  readonly #isTerminal: boolean;
  readonly #startMs: number;
  #lastMs: number;
  #done = 0;
  #isDrawn = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#isTerminal = options.output.isTTY === true;
    this.#startMs = options.nowMs();
    this.#lastMs = this.#startMs;
  }

  update(done: number): void {
    this.#done = done;
    const nowMs = this.#options.nowMs();
    if (nowMs - this.#lastMs < (this.#isTerminal ? drawIntervalMs : lineIntervalMs)) return;
    this.#lastMs = nowMs;
    this.#draw(nowMs);
  }

  /** A line of its own, above the bar. */
  note(text: string): void {
    this.#erase();
    this.#options.output.write(`${text}\n`);
    if (this.#isTerminal) this.#draw(this.#options.nowMs());
  }

  /** The last state stays on the screen. */
  finish(done: number): void {
    this.#done = done;
    this.#draw(this.#options.nowMs());
    if (this.#isTerminal) this.#options.output.write("\n");
    this.#isDrawn = false;
  }

  #draw(nowMs: number): void {
    const { label, total, output } = this.#options;
    const share = this.#share();
    const seconds = Math.max((nowMs - this.#startMs) / 1000, 0.001);
    const rate = `${formatCount(Math.round(this.#done / seconds))}/s`;
    const count = total === undefined ? formatCount(this.#done) : `${formatCount(this.#done)} of ${formatCount(total)}`;
    if (!this.#isTerminal) {
      output.write(`${label}: ${count}, ${rate}\n`);
      return;
    }
    const filled = Math.round((share ?? 0) * barCharacters);
    const bar = share === undefined ? "" : `[${"#".repeat(filled)}${".".repeat(barCharacters - filled)}] `;
    this.#erase();
    output.write(`${label} ${bar}${count}  ${rate}`.slice(0, this.#width() - 1));
    this.#isDrawn = true;
  }

  /** Some terminals say 0 when they do not know. */
  #width(): number {
    const { columns = 0 } = this.#options.output;
    return columns > 1 ? columns : columnsUnknown;
  }

  #share(): number | undefined {
    const { total, share } = this.#options;
    const known = share?.() ?? (total === undefined || total === 0 ? undefined : this.#done / total);
    return known === undefined ? undefined : Math.min(1, Math.max(0, known));
  }

  #erase(): void {
    if (this.#isDrawn) this.#options.output.write("\r\u001b[2K");
    this.#isDrawn = false;
  }
}
