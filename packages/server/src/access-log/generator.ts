/**
 * An access log out of nothing: hits whose paths follow Zipf's law, as those of real sites do, from a seed.
 * The same seed gives the same hits everywhere.
 */
import type { Random } from "@quipu/core";
import type { Hit } from "./parser.ts";

export interface GeneratorOptions {
  readonly random: Random;
  readonly hits: number;
  /** Distinct paths; the k-th most frequent is asked for in proportion to 1/k. */
  readonly paths: number;
  readonly clients: number;
}

/** Shares of a real site, in thousandths. */
const statusShares: readonly (readonly [string, number])[] = [
  ["200", 880],
  ["304", 50],
  ["404", 40],
  ["301", 20],
  ["500", 10],
];

const sections: readonly string[] = ["articles", "images", "products", "help", "feeds"];

export function* generateHits(options: GeneratorOptions): Generator<Hit> {
  const { random } = options;
  const paths = zipf(options.paths);
  const clients = zipf(options.clients);
  for (let count = 0; count < options.hits; count++) {
    yield {
      path: pathOf(draw(paths, random)),
      status: draw1000(random),
      client: clientOf(draw(clients, random)),
    };
  }
}

/** The hit as a line of Combined Log Format. */
export function formatAccessLogLine(hit: Hit): string {
  const request = `GET ${hit.path} HTTP/1.1`;
  return `${hit.client} - - [17/May/2015:10:05:03 +0000] "${request}" ${hit.status} 1024 "-" "quipu-demo/1.0"`;
}

function pathOf(rank: number): string {
  if (rank === 0) return "/";
  return `/${sections[rank % sections.length]}/${rank}.html`;
}

function clientOf(rank: number): string {
  return `10.${(rank >>> 16) & 255}.${(rank >>> 8) & 255}.${rank & 255}`;
}

/** Cumulative weights as integers, so that the draw is exact on every machine. */
function zipf(count: number): Float64Array {
  const cumulative = new Float64Array(count);
  let sum = 0;
  for (let rank = 0; rank < count; rank++) {
    sum += Math.floor(1_000_000 / (rank + 1)) + 1;
    cumulative[rank] = sum;
  }
  return cumulative;
}

function draw(cumulative: Float64Array, random: Random): number {
  const target = random.below(cumulative[cumulative.length - 1] as number);
  let low = 0;
  let high = cumulative.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((cumulative[middle] as number) > target) high = middle;
    else low = middle + 1;
  }
  return low;
}

function draw1000(random: Random): string {
  let left = random.below(1000);
  for (const [status, share] of statusShares) {
    if (left < share) return status;
    left -= share;
  }
  return "200";
}
