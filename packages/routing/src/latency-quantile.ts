/** A quantile of recent latencies, from a histogram that forgets: for deadlines that follow what is usual. */

const bucketCount = 64;
/** Buckets from 0.1 ms, each a quarter wider than the one before, reach beyond two minutes. */
const firstBoundMs = 0.1;
const growth = 1.25;

/** Halved at so many samples: then the last thousand or so decide, whatever was before. */
const samplesMax = 1024;

const boundsMs: Float64Array = /* @__PURE__ */ makeBounds();

function makeBounds(): Float64Array {
  const bounds = new Float64Array(bucketCount);
  let bound = firstBoundMs;
  for (let bucket = 0; bucket < bucketCount; bucket++) {
    bounds[bucket] = bound;
    bound *= growth;
  }
  return bounds;
}

export class LatencyQuantile {
  readonly #counts = new Uint32Array(bucketCount);
  #total = 0;

  record(latencyMs: number): void {
    let low = 0;
    let high = bucketCount - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (latencyMs <= (boundsMs[middle] as number)) high = middle;
      else low = middle + 1;
    }
    this.#counts[low] = (this.#counts[low] as number) + 1;
    this.#total++;
    if (this.#total >= samplesMax) this.#halve();
  }

  /** At most so many in a thousand were slower, give or take a quarter. 0 if nothing was recorded. */
  slowest(perMille: number): number {
    let above = (this.#total * perMille) / 1000;
    if (this.#total === 0) return 0;
    for (let bucket = bucketCount - 1; bucket >= 0; bucket--) {
      above -= this.#counts[bucket] as number;
      if (above < 0) return boundsMs[bucket] as number;
    }
    return boundsMs[0] as number;
  }

  #halve(): void {
    this.#total = 0;
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      const kept = (this.#counts[bucket] as number) >> 1;
      this.#counts[bucket] = kept;
      this.#total += kept;
    }
  }
}
