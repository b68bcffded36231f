/**
 * `npm run sim`: runs the simulator (docs/testing.md). Prints the seed of every failure with the one line that
 * replays it, and exits 1 if anything failed.
 */
import { execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { type MutationResult, mutationTable, NotLinearizableFailure, Trace } from "@quipu/simulator";
import { cellKind, type RunKind, type RunResult, singleKind } from "./sim-kinds.ts";

const help = `Usage:
  npm run sim -- --seed N [--trace]          one run; --trace prints everything that happens
  npm run sim -- --seeds N [--from SEED]     N runs, from SEED on (default 1)
  npm run sim:swarm -- --seconds S [--from SEED]
                                             as many runs as fit, from a random seed unless told
        … --cell | --single                  cells of 3 or 5 nodes, or single nodes with faults of their own; by default
                                             cells, and sim:swarm and --mutations take both (one seed in four is single)
        … --set '{"nodes": 3, …}'            fixes swarm settings instead of drawing them
  npm run sim -- --mutations [--only NAME]   deliberate bugs: which seed and which check catches each
Exit code 1 if a run failed, or a mutation survived.`;

const defaultSwarmSeconds = 60;
/** Seeds that a mutation may survive before the simulator counts as blind to it. */
const mutationSeedsMax = 2_000;
const defaultSeeds = 100;
/** Where both kinds run, one seed in so many is a single node: those are a fifth as long. */
const singleEvery = 4;

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
  cell: { type: "boolean", default: false },
  single: { type: "boolean", default: false },
  mutations: { type: "boolean", default: false },
  only: { type: "string" },
  set: { type: "string", default: "{}" },
  help: { type: "boolean", default: false },
} as const;

const flags = parseFlags();
const settings = parseSettings(flags.set ?? "{}");

let present: { readonly seed: number; readonly kind: RunKind } | undefined;
// A promise that the code under test left without a handler is a bug of this seed.
process.on("unhandledRejection", (error: unknown) => {
  console.error(`seed ${present?.seed}: unhandled rejection`, error);
  if (present !== undefined) report(present.kind, present.seed);
  process.exit(1);
});

function parseFlags(): ReturnType<typeof parseArgs<{ options: typeof options }>>["values"] {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return misused(error instanceof Error ? error.message : String(error));
  }
}

function parseSettings(text: string): object {
  try {
    return JSON.parse(text) as object;
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

function report(kind: RunKind, seed: number): void {
  const fixed = Object.keys(settings).length > 0 ? ` --set '${JSON.stringify(settings)}'` : "";
  console.error(`  commit ${commit()}\n  replay: npm run sim -- ${kind.flag} --seed ${seed} --trace${fixed}`);
}

async function run(kind: RunKind, seed: number, totals: Totals, trace: Trace = new Trace()): Promise<RunResult> {
  present = { seed, kind };
  const result = await kind.run(seed, trace);
  totals.runs += 1;
  totals.virtualMs += result.virtualMs;
  totals.events += result.events;
  totals.lives += result.lives;
  totals.records += result.records;
  const { failure } = result;
  if (failure !== undefined) {
    totals.failures += 1;
    console.error(`${kind.name}, seed ${seed} FAILED ${failure.message}`);
    report(kind, seed);
    if (failure instanceof NotLinearizableFailure) draw(seed, failure.timeline);
  }
  return result;
}

/** What does not fit, as a picture. */
function draw(seed: number, timeline: string): void {
  const file = `sim-seed-${seed}.svg`;
  writeFileSync(file, timeline);
  console.error(`  picture: ${file}`);
}

function summary(totals: Totals, startedMs: number): string {
  const seconds = (performance.now() - startedMs) / 1000;
  const hours = totals.virtualMs / 3_600_000;
  const pace = totals.virtualMs / 1000 / seconds;
  return (
    `${totals.runs} seeds in ${seconds.toFixed(1)} s, ${totals.failures} failed; ${hours.toFixed(2)} simulated hours ` +
    `(${pace.toFixed(0)} x real time), ${totals.events} events, ${totals.lives} lives, ${totals.records} records`
  );
}

async function one(kind: RunKind, seed: number): Promise<number> {
  const trace = new Trace(flags.trace ? { sink: (line) => console.log(line) } : {});
  const totals = noTotals();
  const startedMs = performance.now();
  const { traceHash } = await run(kind, seed, totals, trace);
  console.log(`${kind.name}, seed ${seed}: trace ${traceHash} of ${trace.lineCount} lines`);
  console.log(summary(totals, startedMs));
  return totals.failures;
}

async function many(
  kindOf: (seed: number) => RunKind,
  from: number,
  isEnough: (runs: number, seconds: number) => boolean,
): Promise<number> {
  const startedMs = performance.now();
  const seconds = (): number => (performance.now() - startedMs) / 1000;
  const totals = new Map<RunKind, Totals>();
  console.log(`seeds from ${from}`);
  for (let runs = 0; !isEnough(runs, seconds()); runs++) {
    const kind = kindOf(from + runs);
    let sums = totals.get(kind);
    if (sums === undefined) totals.set(kind, (sums = noTotals()));
    await run(kind, from + runs, sums);
  }
  for (const [kind, sums] of totals) {
    const { table, total } = kind.coverage();
    console.log(`\n${table}\n\n${kind.name}: ${total} faults; ${summary(sums, startedMs)}`);
  }
  return [...totals.values()].reduce((sum, { failures }) => sum + failures, 0);
}

async function mutations(kinds: readonly RunKind[]): Promise<number> {
  let survived = 0;
  for (const kind of kinds) {
    const results: MutationResult[] = [];
    for (const name of kind.mutations) {
      if (flags.only !== undefined && flags.only !== name) continue;
      const result = await kind.runMutation(name, mutationSeedsMax);
      results.push(result);
      console.error(`${kind.name}, ${name}: ${result.seeds === undefined ? "SURVIVED" : result.message}`);
    }
    console.log(`\n${kind.name}\n\n${mutationTable(results)}`);
    survived += results.filter(({ seeds }) => seeds === undefined).length;
  }
  return survived;
}

function noTotals(): Totals {
  return { runs: 0, failures: 0, virtualMs: 0, events: 0, lives: 0, records: 0 };
}

async function main(): Promise<number> {
  if (flags.help) {
    console.log(help);
    return 0;
  }
  const cell = cellKind(settings);
  const single = singleKind(settings);
  const chosen = flags.single ? single : cell;
  const isBoth = flags.single === flags.cell;
  if (flags.mutations) return mutations(isBoth ? [cell, single] : [chosen]);
  if (flags.seed !== undefined) return one(chosen, wholeNumber("seed", flags.seed));
  const from = flags.from === undefined ? undefined : wholeNumber("from", flags.from);
  if (flags.swarm) {
    const secondsMax = flags.seconds === undefined ? defaultSwarmSeconds : wholeNumber("seconds", flags.seconds);
    const kindOf = (seed: number): RunKind => (isBoth && seed % singleEvery === 0 ? single : chosen);
    return many(kindOf, from ?? randomInt(2 ** 40), (_, seconds) => seconds >= secondsMax);
  }
  const runsMax = flags.seeds === undefined ? defaultSeeds : wholeNumber("seeds", flags.seeds);
  return many(
    () => chosen,
    from ?? 1,
    (runs) => runs >= runsMax,
  );
}

process.exitCode = (await main()) > 0 ? 1 : 0;
