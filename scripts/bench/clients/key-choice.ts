/** Which counter the next call takes: all alike, or a few of them most of the time. */
import type { Random } from "@quipu/core";

/** YCSB's constant: of 1,000 counters the first takes 13 % of the calls. */
const zipfExponent = 0.99;

export type KeyChoice = "uniform" | "zipf";

/** Returns a function that draws a counter's place in 0..count-1. */
export function chooser(choice: KeyChoice, count: number, random: Random): () => number {
  if (count === 1) return () => 0;
  if (choice === "uniform") return () => random.below(count);
  const cumulative: number[] = [];
  let total = 0;
  for (let rank = 1; rank <= count; rank++) cumulative.push((total += rank ** -zipfExponent));
  return () => {
    const drawn = (random.uint32() / 2 ** 32) * total;
    let low = 0;
    for (let high = count - 1; low < high;) {
      const middle = Math.floor((low + high) / 2);
      if ((cumulative[middle] ?? total) > drawn) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}
