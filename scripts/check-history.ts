/**
 * Checks recorded histories for linearizability: EDN as Knossos (a register) or Porcupine (get, put, append) writes it.
 * Prints a line for each file; with --svg draws the failing ones into that folder. Exit code 1 if any fails or is
 * undecided.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import {
  checkHistory,
  type CheckOptions,
  drawTimeline,
  findBreak,
  type HistoryOperation,
  type NotLinearizable,
  readKnossosHistory,
  readPorcupineHistory,
} from "@quipu/simulator";

const help = `check-history [options] FILE...
  --steps N     placements that the search may try (2000000)
  --svg FOLDER  draw what fails as a timeline`;

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { steps: { type: "string" }, svg: { type: "string" }, help: { type: "boolean" } },
});

interface Recorded {
  readonly history: readonly HistoryOperation[];
  readonly options: CheckOptions;
}

/** A register starts at 0, a key of the key-value store as the empty text. */
function read(file: string): Recorded {
  const text = readFileSync(file, "utf8");
  const steps = flags.steps === undefined ? {} : { stepsMax: Number(flags.steps) };
  if (/:f\s+:(?:get|put|append)\b/.test(text)) {
    return { history: readPorcupineHistory(text), options: { initial: "", ...steps } };
  }
  return { history: readKnossosHistory(text), options: { initial: 0, ...steps } };
}

function draw(file: string, folder: string, recorded: Recorded, verdict: NotLinearizable): void {
  const { history, options } = recorded;
  const own = history.filter(({ key }) => key === verdict.key);
  const broken = findBreak(own, (beginning) => checkHistory(beginning, options));
  const title = path.basename(file);
  const picture = drawTimeline(history, {
    title,
    verdict,
    ...(broken === undefined ? {} : { brokenAt: broken.brokenAt }),
  });
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, `${title}.svg`), picture);
}

/** True if it is linearizable. */
function check(file: string): boolean {
  const recorded = read(file);
  const startedMs = performance.now();
  const verdict = checkHistory(recorded.history, recorded.options);
  const ms = (performance.now() - startedMs).toFixed(0);
  console.log(`${verdict.type.padEnd(16)} ${file}: ${recorded.history.length} operations, ${ms} ms`);
  if (verdict.type === "linearizable") return true;
  console.log(`  ${verdict.why}`);
  if (verdict.type === "not-linearizable" && flags.svg !== undefined) draw(file, flags.svg, recorded, verdict);
  return false;
}

if (flags.help || positionals.length === 0) {
  console.log(help);
  process.exit(flags.help ? 0 : 2);
}
process.exitCode = positionals.map(check).every(Boolean) ? 0 : 1;
