/** Group `sizes`: memory, restart and checkpoint pauses of a single process, on a server of its own. */
import { print } from "../report.ts";
import { measureSizes } from "../sizes.ts";

export async function benchmarkSizes(port: number): Promise<void> {
  const report = await measureSizes(port);
  const growth = report.millionCountersMegabytes - report.emptyMegabytes;
  print("\n### Sizes and restart\n\n| what | seen | target |\n|---|--:|--:|");
  print(
    `| RSS with 1,000,000 counters (16-byte keys) − RSS empty | ${growth.toFixed(0)} MB (${report.emptyMegabytes.toFixed(0)} → ${report.millionCountersMegabytes.toFixed(0)}) | ≤ 200 MB |`,
  );
  print(`| bytes per idempotency entry (16-byte key) | ${report.bytesPerIdempotencyEntry.toFixed(0)} | – |`);
  print(
    `| start after kill -9, 1,000,000 counters + ${report.logSuffixMegabytes.toFixed(0)} MB of log | ${report.restartSeconds.toFixed(2)} s | < 5 s |`,
  );
  print(`| checkpoint of 1,000,000 counters | ${report.checkpoint} | longest slice ≤ 10 ms |`);
}
