/**
 * `npm run demo`: counts 200,000 hits of an access log (path, status, client) in a cell of three processes. Meanwhile the
 * leader is killed and started again, and the next leader hangs for some seconds; then every counter is compared with an
 * independent count. `-- --input FILE` takes your own log; `-- --tour` moves the log from engine to engine instead: local,
 * raft, multi-paxos, etcd, zookeeper, raft.
 * Exit code 0: every counter is equal; 1: one differs, or something failed; 2: wrong usage.
 */
import { statSync } from "node:fs";
import { parseArgs } from "node:util";
import { DemoResources, type DemoResult, formatCount, formatTable, runDemo } from "quipu/testing";

const defaultHits = 200_000;
const defaultSeed = 20_150_517;
/** Of the counters that differ, if any. */
const differencesShownMax = 10;

function usage(problem: string): never {
  console.error(`${problem}\nnpm run demo -- [--tour] [--input FILE] [--hits N] [--seed N]`);
  process.exit(2);
}

interface Arguments {
  readonly input: string | undefined;
  readonly hits: number;
  readonly seed: number;
  readonly isTour: boolean;
}

function readArguments(): Arguments {
  try {
    const { values } = parseArgs({
      options: {
        input: { type: "string" },
        hits: { type: "string" },
        seed: { type: "string" },
        tour: { type: "boolean", default: false },
      },
    });
    const hits = Number(values.hits ?? defaultHits);
    const seed = Number(values.seed ?? defaultSeed);
    if (!Number.isSafeInteger(hits) || hits < 100) usage("--hits: a whole number, 100 or more");
    if (!Number.isSafeInteger(seed) || seed < 0) usage("--seed: a whole number, 0 or more");
    if (values.input !== undefined && !statSync(values.input).isFile()) usage(`${values.input} is no file`);
    return { input: values.input, hits, seed, isTour: values.tour };
  } catch (error) {
    return usage((error as Error).message);
  }
}

function report(result: DemoResult): void {
  const rows = result.topPaths.map(({ path, found, expected }) => [formatCount(found), formatCount(expected), path]);
  const columns = [
    { title: "quipu", align: "right" },
    { title: "independent", align: "right" },
    { title: "path" },
  ] as const;
  const adds = result.hits * 3;
  console.log(`\n${formatTable(columns, rows)}\n`);
  console.log(
    `${formatCount(result.hits)} hits, ${formatCount(adds)} adds in ${result.seconds.toFixed(1)} s, ` +
      `each durable before it was acknowledged, on ${result.nodes} nodes, through all of this:`,
  );
  for (const { what, withoutWriteMs } of result.events) {
    console.log(`  ${what}: at most ${formatCount(withoutWriteMs)} ms without a successful write`);
  }
  for (const text of result.leftOut) console.log(`  ${text}`);
  if (result.linesRefused > 0) console.log(`${formatCount(result.linesRefused)} lines are no access log: left out`);
  if (isEqual(result)) {
    console.log(
      `${formatCount(result.counters)} counters compared with an independent count: ` +
        "all equal, nothing lost, nothing twice",
    );
    return;
  }
  console.log(`DIFFERENT: ${formatCount(result.differences.length)} of ${formatCount(result.counters)} counters`);
  for (const { key, expected, found } of result.differences.slice(0, differencesShownMax)) {
    console.log(`  ${key}: expected ${expected}, found ${found ?? "nothing"}`);
  }
  if (result.surplusKeys !== 0) console.log(`  the server holds ${result.surplusKeys} counters too many`);
}

function isEqual(result: DemoResult): boolean {
  return result.differences.length === 0 && result.surplusKeys === 0;
}

const { input, hits, seed, isTour } = readArguments();
const resources = new DemoResources();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    resources.dispose();
    process.exit(signal === "SIGINT" ? 130 : 143);
  });
}
try {
  console.log(
    input === undefined ? `counting ${formatCount(hits)} generated hits (seed ${seed})` : `counting ${input}`,
  );
  const options = { hits, seed, isTour, output: process.stdout };
  const result = await runDemo(input === undefined ? options : { ...options, input }, resources);
  report(result);
  process.exitCode = isEqual(result) ? 0 : 1;
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await resources.client?.close().catch(() => undefined);
  await resources.services?.stop().catch(() => undefined);
  resources.dispose();
}
