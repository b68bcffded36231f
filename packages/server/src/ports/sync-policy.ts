/**
 * Where a commit's fdatasync runs: on the event loop itself, or in libuv's thread pool.
 *
 * On a disk that syncs in 0.1 ms the way to the pool and back costs more than the sync: redis-benchmark at depth 1
 * saw 67k increments/s inline and 50k through the pool on two cores. On a disk that takes milliseconds the loop
 * must not stand still. So: inline while syncs are fast, the pool as soon as one is not, and back when they are.
 */

/**
 * Slower than this on average: the pool. Inline, the loop stands still for about this long per commit. A machine whose
 * cores are all taken makes every sync look slower, and the pool slower still: below this the pool gains nothing. Three nodes
 * that share two cores and one disk saw syncs of 0.8 ms, and 12k increments/s through the pool, 14k inline.
 */
const inlineAverageMsMax = 2;
/** One inline sync as slow as this sends the following ones to the pool at once. */
const inlineOutlierMs = 10;
/** Commits that stay in the pool after an outlier, so that a disk that stutters is not tried at every turn. */
const poolCommitsAfterOutlier = 256;
/** Weight of the newest commit in the moving average. */
const newestWeight = 1 / 16;

export class SyncPolicy {
  #averageMs = 0;
  #poolCommitsLeft = 0;

  /** True if the next commit should sync on the event loop. */
  get inline(): boolean {
    return this.#poolCommitsLeft === 0 && this.#averageMs < inlineAverageMsMax;
  }

  /** Tells how long the write and sync of one commit took, wherever it ran. */
  took(elapsedMs: number): void {
    const wasInline = this.inline;
    this.#averageMs += (elapsedMs - this.#averageMs) * newestWeight;
    if (this.#poolCommitsLeft > 0) this.#poolCommitsLeft -= 1;
    if (wasInline && elapsedMs >= inlineOutlierMs) this.#poolCommitsLeft = poolCommitsAfterOutlier;
  }
}
