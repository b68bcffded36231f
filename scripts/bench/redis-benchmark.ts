/** Runs the unchanged redis-benchmark and reads its CSV. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface LoadResult {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export async function redisBenchmark(port: number, arguments_: readonly string[]): Promise<LoadResult> {
  const { stdout } = await run("redis-benchmark", ["-p", String(port), "--csv", ...arguments_]);
  const line = stdout.trim().split("\n").at(-1) ?? "";
  // The test's name may hold commas only inside its quotes.
  const fields = [...line.matchAll(/"([^"]*)"/g)].map((match) => Number(match[1]));
  const [, requestsPerSecond, , , p50Ms, , p99Ms] = fields;
  if (requestsPerSecond === undefined || !(requestsPerSecond > 0)) {
    throw new Error(`redis-benchmark ${arguments_.join(" ")} printed: ${stdout}`);
  }
  return { requestsPerSecond, p50Ms: p50Ms ?? Number.NaN, p99Ms: p99Ms ?? Number.NaN };
}
