/** How figures are printed: rows of markdown, medians with their ranges. */
import type { PairSummary, Spread } from "./pairs.ts";

export interface BenchOptions {
  /** Interleaved pairs per figure. */
  readonly pairs: number;
  /** Multiplies numbers of requests, seconds and repetitions. */
  readonly scale: number;
  /** Nodes of our cell; 1: a single process in its place. */
  readonly nodes: number;
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function thousands({ minimum, median, maximum }: Spread): string {
  const k = (value: number): string => {
    if (value >= 1e6) return `${(value / 1e6).toFixed(2)}M`;
    return value >= 1e3 ? `${(value / 1e3).toFixed(1)}k` : value.toFixed(0);
  };
  return `${k(median)} (${k(minimum)}–${k(maximum)})`;
}

export function withRange({ minimum, median, maximum }: Spread, digits: number): string {
  return `${median.toFixed(digits)} (${minimum.toFixed(digits)}–${maximum.toFixed(digits)})`;
}

export function heading(title: string, theirs: string): void {
  print(`\n### ${title}\n\n| what | ours, per s: median (range) | ${theirs} | ratio | target |\n|---|--:|--:|--:|--:|`);
}

export function row(name: string, summary: PairSummary, target: string): void {
  const { minimum, median, maximum } = summary.ratio;
  const digits = median >= 10 ? 0 : 2;
  print(
    `| ${name} | ${thousands(summary.ours)} | ${thousands(summary.theirs)} | ` +
      `**${median.toFixed(digits)}** (${minimum.toFixed(digits)}–${maximum.toFixed(digits)}) | ${target} |`,
  );
}
