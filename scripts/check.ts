/**
 * `npm run check`: format, layering, types, lint, dead code. Writes nothing but build output; `npm run fix` repairs
 * what a tool can. Each step prints one line with its time; a failing one prints what its tool said.
 * `npm run check -- lint types` runs those steps only.
 */
import { spawnSync } from "node:child_process";
import path from "node:path";

interface Step {
  readonly name: string;
  readonly command: readonly string[];
}

const root = path.resolve(import.meta.dirname, "..");

/** Types before lint: type-aware rules read the declarations that the build leaves in dist. */
const steps: readonly Step[] = [
  { name: "format", command: ["oxfmt", "--check"] },
  { name: "tidy", command: ["tsx", "scripts/tidy.ts"] },
  { name: "types", command: ["tsc", "-b"] },
  { name: "lint", command: ["oxlint", "--type-aware", "--deny-warnings", "--report-unused-disable-directives"] },
  { name: "dead code", command: ["knip"] },
];

/** Runs one step; true if it passed. */
function run(step: Step): boolean {
  const [tool = "", ...args] = step.command;
  const started = performance.now();
  const result = spawnSync(path.join(root, "node_modules", ".bin", tool), args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024, // A lint gone wrong prints tens of thousands of lines.
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const passed = result.status === 0;
  console.log(`${passed ? "ok    " : "FAILED"} ${step.name.padEnd(10)} ${seconds.padStart(5)} s`);
  if (!passed) console.log(`${result.error?.message ?? ""}${result.stdout ?? ""}${result.stderr ?? ""}`.trimEnd());
  return passed;
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !steps.some((step) => step.name === name));
if (unknown.length > 0) {
  console.error(`no such step: ${unknown.join(", ")}; there are: ${steps.map((step) => step.name).join(", ")}`);
  process.exit(2);
}
const failed = steps.filter((step) => wanted.length === 0 || wanted.includes(step.name)).filter((step) => !run(step));
if (failed.length > 0) {
  console.log(`check failed: ${failed.map((step) => step.name).join(", ")} (npm run fix repairs format and some lint)`);
  process.exitCode = 1;
}
