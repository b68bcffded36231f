/**
 * A closed loop of callers in one Node process, through one of the clients in ./clients. Started as a child by the
 * benchmark; prints one line of JSON. Afterwards every counter is read back: their sum must be exactly the acknowledged
 * increments, and may be more only by those whose outcome the client left open.
 */
import { parseArgs } from "node:util";
import { SeededRandom } from "@quipu/core";
import { UnknownOutcome } from "./clients/counting-client.ts";
import { chooser } from "./clients/key-choice.ts";
import { clientKinds, openClient } from "./clients/open-client.ts";
import type { LoadReport } from "./load-report.ts";
import { cpuSecondsOf } from "./peers/processes.ts";

const { values } = parseArgs({
  options: {
    client: { type: "string", default: "sdk" },
    ports: { type: "string", default: "7379" },
    callers: { type: "string", default: "64" },
    keys: { type: "string", default: "1" },
    choice: { type: "string", default: "uniform" },
    seconds: { type: "string", default: "3" },
    prefix: { type: "string", default: "bench" },
    /** Servers whose CPU time is measured from the first call to the last reply. */
    pids: { type: "string", default: "" },
  },
});

const kind = clientKinds.find((name) => name === values.client);
if (kind === undefined) throw new Error(`--client: one of ${clientKinds.join(", ")}`);
const callers = Number(values.callers);
const keyCount = Number(values.keys);
const keys = Array.from({ length: keyCount }, (_, index) => `${values.prefix}:${String(index).padStart(8, "0")}`);
const choose = chooser(values.choice === "zipf" ? "zipf" : "uniform", keyCount, new SeededRandom(7));
const client = await openClient(kind, values.ports.split(",").map(Number), callers);

/** One caller makes few calls; of many callers a sample will do. */
const latencySampleEvery = callers === 1 ? 1 : 16;

/** After an error nothing is gained by asking again at once. */
const pauseAfterErrorMs = 10;

async function sum(): Promise<bigint> {
  let total = 0n;
  for (let at = 0; at < keys.length; at += 1000) {
    for (const value of await client.read(keys.slice(at, at + 1000))) total += value;
  }
  return total;
}

const pids = values.pids === "" ? [] : values.pids.split(",").map(Number);
const before = await sum();
const cpuSecondsBefore = await cpuSecondsOf(pids);
const latenciesMs: number[] = [];
let acknowledged = 0;
let unknown = 0;
let refused = 0;
let firstError: string | undefined;
const warmUpMs = 500;
const startMs = performance.now() + warmUpMs;
const seconds = Number(values.seconds);
const endMs = startMs + seconds * 1000;
let counted = 0;

async function caller(): Promise<void> {
  for (;;) {
    const begunMs = performance.now();
    if (begunMs >= endMs) return;
    try {
      await client.increment(keys[choose()] as string);
    } catch (error) {
      if (error instanceof UnknownOutcome) unknown += 1;
      else refused += 1;
      firstError ??= String(error instanceof UnknownOutcome ? error.cause : error);
      await new Promise((resolve) => setTimeout(resolve, pauseAfterErrorMs));
      continue;
    }
    acknowledged += 1;
    const nowMs = performance.now();
    // What is acknowledged within the time, whenever it was called: a slow store's queue outlives both ends of it.
    if (nowMs >= startMs && nowMs < endMs) {
      counted += 1;
      if (counted % latencySampleEvery === 0) latenciesMs.push(nowMs - begunMs);
    }
  }
}

await Promise.all(Array.from({ length: callers }, caller));
const serverCpuSeconds = (await cpuSecondsOf(pids)) - cpuSecondsBefore;
const added = Number((await sum()) - before);
await client.close();
latenciesMs.sort((left, right) => left - right);
const quantile = (share: number): number => latenciesMs[Math.floor(latenciesMs.length * share)] ?? Number.NaN;
const report: LoadReport = {
  requestsPerSecond: counted / seconds,
  p50Ms: quantile(0.5),
  p99Ms: quantile(0.99),
  acknowledged,
  unknown,
  refused,
  added,
  serverCpuSeconds,
  firstError,
};
// Some clients keep a connection open for a while after their end.
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
