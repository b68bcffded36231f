/** Latencies in buckets of constant relative width (2^(1/32), about 2 %): any number of samples in 10 kB. */

const bucketsPerOctave = 32;
/** 1 µs; what is faster counts as that. */
const firstMs = 0.001;
/** Up to 2^37 µs, more than a day. */
const bucketCount = 37 * bucketsPerOctave;

export class LatencyHistogram {
  readonly #buckets = new Float64Array(bucketCount);
  #count = 0;
  #maximum = 0;

  record(durationMs: number): void {
    const octaves = Math.log2(Math.max(durationMs, firstMs) / firstMs);
    const bucket = Math.min(bucketCount - 1, Math.floor(octaves * bucketsPerOctave));
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
    this.#count += 1;
    this.#maximum = Math.max(this.#maximum, durationMs);
  }

  get count(): number {
    return this.#count;
  }

  get maximum(): number {
    return this.#maximum;
  }

  /** The middle of the bucket that holds the sample of this rank; 0 without samples. */
  quantile(share: number): number {
    let left = Math.max(1, Math.ceil(share * this.#count));
    for (let bucket = 0; bucket < bucketCount && this.#count > 0; bucket++) {
      left -= this.#buckets[bucket] ?? 0;
      if (left <= 0) return Math.min(this.#maximum, firstMs * 2 ** ((bucket + 0.5) / bucketsPerOctave));
    }
    return 0;
  }
}
