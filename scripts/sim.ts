/**
 * `npm run sim`: runs the simulator (docs/testing.md). Prints the seed of every failure with the one line that
 * replays it, and exits 1 if anything failed.
 */
import { execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import {
  Coverage,
  mutationCases,
  type MutationResult,
  mutationTable,
  runMutation,
  Simulation,
  type SimulationResult,
  type SwarmConfiguration,
  Trace,
} from "@quipu/simulator";

const help = `Usage:
  npm run sim -- --seed N [--trace]          one run; --trace prints everything that happens
  npm run sim -- --seeds N [--from SEED]     N runs, from SEED on (default 1)
  npm run sim:swarm -- --seconds S [--from SEED]
                                             as many runs as fit, from a random seed unless told
        … --set '{"peer": true, …}'          fixes swarm settings instead of drawing them
  npm run sim -- --mutations [--only NAME]   deliberate bugs: which seed and which check catches each
Exit code 1 if a run failed, or a mutation survived.`;

const defaultSwarmSeconds = 60;
/** Seeds that a mutation may survive before the simulator counts as blind to it. */
const mutationSeedsMax = 200;
const defaultSeeds = 100;

interface Totals {
  runs: number;
  failures: number;
  virtualMs: number;
  events: number;
  lives: number;
  records: number;
}

const options = {
  seed: { type: "string" },
  seeds: { type: "string" },
  from: { type: "string" },
  seconds: { type: "string" },
  trace: { type: "boolean", default: false },
  swarm: { type: "boolean", default: false },
  mutations: { type: "boolean", default: false },
  only: { type: "string" },
  set: { type: "string", default: "{}" },
  help: { type: "boolean", default: false },
} as const;

const flags = parseFlags();
const swarm = parseSettings(flags.set ?? "{}");

let presentSeed = 0;
// A promise that the code under test left without a handler is a bug of this seed.
process.on("unhandledRejection", (error: unknown) => {
  console.error(`seed ${presentSeed}: unhandled rejection`, error);
  report(presentSeed);
  process.exit(1);
});

function parseFlags(): ReturnType<typeof parseArgs<{ options: typeof options }>>["values"] {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return misused(error instanceof Error ? error.message : String(error));
  }
}

function parseSettings(text: string): Partial<SwarmConfiguration> {
  try {
    return JSON.parse(text) as Partial<SwarmConfiguration>;
  } catch {
    return misused(`--set takes a JSON object, not ${text}`);
  }
}

function misused(what: string): never {
  console.error(`${what}\n\n${help}`);
  process.exit(2);
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (text === "" || !Number.isSafeInteger(value) || value < 0)
    misused(`--${name} takes a whole number, not "${text}"`);
  return value;
}

function commit(): string {
  try {
    return execFileSync("git", ["describe", "--always", "--dirty"], { encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

function report(seed: number): void {
  const settings = Object.keys(swarm).length > 0 ? ` --set '${JSON.stringify(swarm)}'` : "";
  console.error(`  commit ${commit()}\n  replay: npm run sim -- --seed ${seed} --trace${settings}`);
}

async function run(
  seed: number,
  coverage: Coverage,
  totals: Totals,
  trace: Trace = new Trace(),
): Promise<SimulationResult> {
  presentSeed = seed;
  const result = await new Simulation({ seed, coverage, trace, swarm }).run();
  totals.runs += 1;
  totals.virtualMs += result.virtualMs;
  totals.events += result.events;
  totals.lives += result.lives;
  totals.records += result.records;
  if (result.failure !== undefined) {
    totals.failures += 1;
    console.error(`seed ${seed} FAILED ${result.failure.message}`);
    report(seed);
  }
  return result;
}

function summary(totals: Totals, startedMs: number): string {
  const seconds = (performance.now() - startedMs) / 1000;
  const hours = totals.virtualMs / 3_600_000;
  return (
    `${totals.runs} seeds in ${seconds.toFixed(1)} s, ${totals.failures} failed; ` +
    `${hours.toFixed(2)} simulated hours, ${totals.events} events, ${totals.lives} lives, ${totals.records} records`
  );
}

async function one(seed: number): Promise<number> {
  const trace = new Trace(flags.trace ? { sink: (line) => console.log(line) } : {});
  const totals = noTotals();
  const startedMs = performance.now();
  const { traceHash } = await run(seed, new Coverage(), totals, trace);
  console.log(`seed ${seed}: trace ${traceHash} of ${trace.lineCount} lines`);
  console.log(summary(totals, startedMs));
  return totals.failures;
}

async function many(from: number, isEnough: (runs: number, seconds: number) => boolean): Promise<number> {
  const coverage = new Coverage();
  const totals = noTotals();
  const startedMs = performance.now();
  console.log(`seeds from ${from}`);
  for (let seed = from; !isEnough(totals.runs, (performance.now() - startedMs) / 1000); seed++) {
    await run(seed, coverage, totals);
  }
  console.log(`\n${coverage.table()}\n\n${coverage.total} faults; ${summary(totals, startedMs)}`);
  return totals.failures;
}

async function mutations(): Promise<number> {
  const results: MutationResult[] = [];
  for (const test of mutationCases) {
    if (flags.only !== undefined && flags.only !== test.name) continue;
    const result = await runMutation(test, mutationSeedsMax);
    results.push(result);
    console.error(`${test.name}: ${result.seeds === undefined ? "SURVIVED" : result.message}`);
  }
  console.log(mutationTable(results));
  return results.filter(({ seeds }) => seeds === undefined).length;
}

function noTotals(): Totals {
  return { runs: 0, failures: 0, virtualMs: 0, events: 0, lives: 0, records: 0 };
}

async function main(): Promise<number> {
  if (flags.help) {
    console.log(help);
    return 0;
  }
  if (flags.mutations) return mutations();
  if (flags.seed !== undefined) return one(wholeNumber("seed", flags.seed));
  const from = flags.from === undefined ? undefined : wholeNumber("from", flags.from);
  if (flags.swarm) {
    const secondsMax = flags.seconds === undefined ? defaultSwarmSeconds : wholeNumber("seconds", flags.seconds);
    return many(from ?? randomInt(2 ** 40), (_, seconds) => seconds >= secondsMax);
  }
  const runsMax = flags.seeds === undefined ? defaultSeeds : wholeNumber("seeds", flags.seeds);
  return many(from ?? 1, (runs) => runs >= runsMax);
}

process.exitCode = (await main()) > 0 ? 1 : 0;
