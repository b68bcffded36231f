/**
 * A history as a picture, so that a contradiction can be seen: a lane for each client, a bar for each operation from
 * its invocation to its return, open to the right where the outcome is unknown. SVG text, without anything foreign.
 */
import { callText, type HistoryOperation, operationText } from "./history.ts";
import { type Bar, layOut, type Layout, nearest } from "./timeline-layout.ts";
import type { Verdict } from "./verdict.ts";

export interface TimelineOptions {
  readonly title: string;
  /** What it found is marked; only its key is drawn. */
  readonly verdict?: Verdict;
  /** From `findBreak`: marked by a line. */
  readonly brokenAt?: number;
  /** More than this are not drawn: those nearest to the contradiction are. */
  readonly operationsMax?: number;
}

/** A few screens wide; what matters is near the contradiction. */
const defaultOperationsMax = 60;
const laneLabelWidth = 90;
const margin = 16;
const rowHeight = 26;
const barHeight = 20;
const laneGap = 6;
const textLine = 18;
const textCharacters = 110;
const widthMin = 980;

const breakLabelWidth = 180;

const colours = {
  contradicting: { fill: "#ffe3e0", stroke: "#c62828", text: "#8e1b1b" },
  placed: { fill: "#e3f2e5", stroke: "#2e7d32", text: "#1b5e20" },
  other: { fill: "#eceff1", stroke: "#78909c", text: "#263238" },
} as const;

export function drawTimeline(history: readonly HistoryOperation[], options: TimelineOptions): string {
  return new Timeline(history, options).svg();
}

class Timeline {
  readonly #options: TimelineOptions;
  readonly #contradicting: ReadonlySet<HistoryOperation>;
  /** Place in the order that the checker found, from 1. */
  readonly #places: ReadonlyMap<HistoryOperation, number>;
  readonly #placed: readonly HistoryOperation[];
  readonly #layout: Layout;
  readonly #head: readonly string[];
  readonly #top: number;

  constructor(history: readonly HistoryOperation[], options: TimelineOptions) {
    this.#options = options;
    const verdict = options.verdict;
    const failed = verdict?.type === "not-linearizable" ? verdict : undefined;
    this.#contradicting = new Set(failed?.contradicting);
    this.#placed = failed?.linearized ?? [];
    this.#places = new Map(this.#placed.map((operation, i) => [operation, i + 1]));
    const key = verdict === undefined || verdict.type === "linearizable" ? undefined : verdict.key;
    const own = key === undefined ? history : history.filter((operation) => operation.key === key);
    const drawn = nearest(own, failed?.contradicting ?? [], options.operationsMax ?? defaultOperationsMax);
    this.#layout = layOut(drawn, { labelOf: (operation) => this.#label(operation), left: margin + laneLabelWidth });
    const why = verdict === undefined || verdict.type === "linearizable" ? [] : wrap(verdict.why);
    const hidden = history.length - drawn.length;
    this.#head = hidden === 0 ? why : [...why, `${hidden} operations of other keys or far away are not drawn.`];
    this.#top = margin + textLine * (this.#head.length + 1) + margin;
  }

  svg(): string {
    const { right, lanes, bars } = this.#layout;
    const width = Math.ceil(Math.max(right + margin + breakLabelWidth, widthMin));
    const bottom = this.#rowY(this.#layout.rows, lanes.length);
    const height = Math.ceil(bottom + textLine + 2 * margin + textLine);
    const parts = [
      `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
        `font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="11">`,
      `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
      text(margin, margin + 12, this.#options.title, `font-size="14" font-weight="bold"`),
      ...this.#head.map((line, i) => text(margin, margin + 14 + textLine * (i + 1), line, `fill="#37474f"`)),
      ...this.#lanes(width),
      ...this.#axis(bottom),
      ...this.#break(bottom),
      ...bars.flatMap((bar) => this.#bar(bar)),
      ...this.#points(),
      ...legend(margin, bottom + textLine + margin + 12),
      "</svg>",
    ];
    return `${parts.join("\n")}\n`;
  }

  #label(operation: HistoryOperation): string {
    const place = this.#places.get(operation);
    return place === undefined ? callText(operation) : `${place}: ${callText(operation)}`;
  }

  #rowY(row: number, lane: number): number {
    return this.#top + row * rowHeight + lane * laneGap;
  }

  #lanes(width: number): readonly string[] {
    return this.#layout.lanes.flatMap(({ process, firstRow, rows }, lane) => {
      const y = this.#rowY(firstRow, lane);
      const fill = lane % 2 === 0 ? "#f7f9fa" : "#ffffff";
      return [
        `<rect x="0" y="${y - laneGap / 2}" width="${width}" height="${rows * rowHeight + laneGap}" fill="${fill}"/>`,
        text(margin, y + 14, `client ${process}`, `fill="#455a64"`),
      ];
    });
  }

  #bar(bar: Bar): readonly string[] {
    const { operation, left, right } = bar;
    const kind = this.#kind(operation);
    const { fill, stroke, text: colour } = colours[kind];
    const y = this.#barY(bar);
    const lineWidth = kind === "contradicting" ? 2.5 : 1;
    const common = `fill="${fill}" stroke="${stroke}" stroke-width="${lineWidth}"`;
    const shape =
      operation.returnedAt === undefined
        ? // Open to the right: no line there.
          `<path d="M${right} ${y}H${left}V${y + barHeight}H${right}" ${common} stroke-dasharray="5 3"/>`
        : `<rect x="${left}" y="${y}" width="${right - left}" height="${barHeight}" rx="3" ${common}/>`;
    const weight = kind === "contradicting" ? ` font-weight="bold"` : "";
    return [
      `<g><title>${escapeXml(operationText(operation))}</title>`,
      shape,
      text(left + 7, y + 14, bar.label, `fill="${colour}"${weight}`),
      "</g>",
    ];
  }

  #barY({ row }: Bar): number {
    const lane = this.#layout.lanes.findIndex(({ firstRow, rows }) => row >= firstRow && row < firstRow + rows);
    return this.#rowY(row, lane) + (rowHeight - barHeight) / 2;
  }

  #kind(operation: HistoryOperation): keyof typeof colours {
    if (this.#contradicting.has(operation)) return "contradicting";
    return this.#places.has(operation) ? "placed" : "other";
  }

  /** When each operation of the order may have taken effect: not before it or an earlier one was invoked. */
  #points(): readonly string[] {
    const bars = new Map(this.#layout.bars.map((bar) => [bar.operation, bar]));
    const points: string[] = [];
    let latest: Bar | undefined;
    for (const operation of this.#placed) {
      const bar = bars.get(operation);
      if (bar === undefined) continue;
      if (latest === undefined || bar.left > latest.left) latest = bar;
      points.push(`<circle cx="${latest.left}" cy="${this.#barY(bar) + barHeight}" r="3" fill="#2e7d32"/>`);
    }
    return points;
  }

  #break(bottom: number): readonly string[] {
    const { brokenAt } = this.#options;
    if (brokenAt === undefined) return [];
    const x = this.#layout.xOf(brokenAt);
    const line = `x1="${x}" y1="${this.#top - 8}" x2="${x}" y2="${bottom}"`;
    return [
      `<line ${line} stroke="#c62828" stroke-dasharray="2 3"/>`,
      text(x + 6, this.#top - 10, "linearizable before this", `fill="#c62828"`),
    ];
  }

  #axis(bottom: number): readonly string[] {
    return this.#layout.ticks.flatMap(({ x, time }) => [
      `<line x1="${x}" y1="${this.#top}" x2="${x}" y2="${bottom}" stroke="#cfd8dc" stroke-width="0.5"/>`,
      text(x, bottom + 14, `${time}`, `fill="#90a4ae"`),
    ]);
  }
}

function legend(x: number, y: number): readonly string[] {
  const entries = [
    ["contradicting", "contradict each other"],
    ["placed", "placed, in this order; a dot where it may have taken effect"],
    ["other", "others; dashed and open: outcome unknown"],
  ] as const;
  let left = x;
  return entries.flatMap(([kind, meaning]) => {
    const { fill, stroke } = colours[kind];
    const at = left;
    left += 40 + meaning.length * 7;
    return [
      `<rect x="${at}" y="${y - 10}" width="14" height="12" fill="${fill}" stroke="${stroke}"/>`,
      text(at + 20, y, meaning, `fill="#546e7a"`),
    ];
  });
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${x}" y="${y}" ${attributes}>${escapeXml(content)}</text>`;
}

function wrap(sentence: string): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of sentence.split(" ")) {
    if (line !== "" && line.length + word.length >= textCharacters) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** Characters that XML has no way to write become U+FFFD. */
function escapeXml(content: string): string {
  return content
    .replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/gu, "\ufffd")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
