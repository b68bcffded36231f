/**
 * `npm run chaos -- --minutes N`: a cell of real processes under load and faults; counts have to be exact and recorded
 * histories linearizable. The faults come from the seed; what the processes make of them also from the machine. Exit code 0:
 * all is well; 1: something is not, and data and histories are kept; 2: wrong usage.
 */
import { randomInt } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { checkHistory, drawTimeline, type HistoryOperation } from "@quipu/simulator";
import { type ChaosResult, formatTable, runChaos, Services } from "quipu/testing";

/** Placements that the search may try on all keys together: seconds, where a history is sane. */
const stepsMax = 20_000_000;

function usage(problem: string): never {
  console.error(`${problem}\nnpm run chaos -- [--minutes N] [--seed S] [--nodes 3] [--services]`);
  process.exit(2);
}

interface Arguments {
  readonly minutes: number;
  readonly seed: number;
  readonly nodes: number;
  /** The log also moves to etcd and ZooKeeper, whose members are killed, too. */
  readonly withServices: boolean;
}

function readArguments(): Arguments {
  try {
    const { values } = parseArgs({
      options: {
        minutes: { type: "string" },
        seed: { type: "string" },
        nodes: { type: "string" },
        services: { type: "boolean", default: false },
      },
    });
    const minutes = Number(values.minutes ?? 10);
    const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed);
    const nodes = Number(values.nodes ?? 3);
    if (!(minutes > 0)) usage("--minutes: a number above 0");
    if (!Number.isSafeInteger(seed) || seed < 0) usage("--seed: a whole number, 0 or more");
    if (![3, 5, 7].includes(nodes)) usage("--nodes: 3, 5 or 7");
    return { minutes, seed, nodes, withServices: values.services };
  } catch (error) {
    return usage((error as Error).message);
  }
}

function report(result: ChaosResult): void {
  const byName = new Map<string, number[]>();
  for (const { what, withoutWriteMs } of result.events) {
    byName.set(what, [...(byName.get(what) ?? []), withoutWriteMs]);
  }
  const rows = [...byName].map(([what, gaps]) => {
    const sorted = gaps.toSorted((left, right) => left - right);
    return [what, String(gaps.length), String(sorted[sorted.length >> 1]), String(sorted.at(-1))];
  });
  const right = { align: "right" } as const;
  const columns = [
    { title: "fault" },
    { title: "times", ...right },
    { title: "ms without a write, median", ...right },
    { title: "longest", ...right },
  ];
  console.log(`\n${formatTable(columns, rows)}\n`);
  console.log(`${result.acknowledged} changes acknowledged, ${result.history.length} operations recorded`);
}

/** What is wrong with what clients saw; undefined: nothing. */
function judge(history: readonly HistoryOperation[], directory: string): string | undefined {
  const startMs = performance.now();
  const verdict = checkHistory(history, { initial: null, stepsMax });
  console.log(`histories: ${verdict.type} (${Math.round(performance.now() - startMs)} ms)`);
  if (verdict.type === "linearizable") return undefined;
  if (verdict.type === "not-linearizable") {
    writeFileSync(path.join(directory, "history.svg"), drawTimeline(history, { title: verdict.key, verdict }));
  }
  return `histories: ${verdict.type}: ${verdict.why}`;
}

const { minutes, seed, nodes, withServices } = readArguments();
const directory = mkdtempSync(path.join(tmpdir(), "quipu-chaos-"));
console.log(`chaos for ${minutes} minutes, seed ${seed}, ${nodes} nodes, data in ${directory}`);
const lines: string[] = [];
const print = (line: string): void => {
  lines.push(line);
  console.log(line);
};
const services = withServices ? await Services.start() : undefined;
for (const text of services?.missing ?? []) console.log(text);
const options = { directory, seed, seconds: minutes * 60, nodes, print };
const result = await runChaos(services === undefined ? options : { ...options, services });
await services?.stop();
report(result);
const verdict = judge(result.history, directory);
const problems = [...result.problems, ...(verdict === undefined ? [] : [verdict])];
if (problems.length === 0) {
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  console.log("all nodes have one state, every count is exact, every history is linearizable");
} else {
  writeFileSync(path.join(directory, "history.json"), JSON.stringify(result.history));
  writeFileSync(path.join(directory, "events.txt"), `${lines.join("\n")}\n`);
  for (const problem of problems) console.error(`PROBLEM: ${problem}`);
  console.error(`seed ${seed} FAILED; data, history.json and events.txt are in ${directory}`);
  console.error(
    `again: npm run chaos -- --minutes ${minutes} --seed ${seed} --nodes ${nodes}${withServices ? " --services" : ""}`,
  );
}
process.exit(problems.length === 0 ? 0 : 1);
