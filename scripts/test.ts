/**
 * `npm test`: builds, runs every test, and ends with the line `N passed, N failed` (`, N skipped` where there are
 * any), counting single tests. Arguments go to vitest: `npm test -- packages/log -t "torn tail"`.
 *
 * The build comes first because end-to-end tests start the real server, which runs from dist.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

/** The part of vitest's JSON report that we count. */
interface Report {
  readonly testResults: readonly {
    readonly status: "passed" | "failed";
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

interface Totals {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const root = path.resolve(import.meta.dirname, "..");
const tool = (name: string): string => path.join(root, "node_modules", ".bin", name);

/** Counts tests. A file that failed without a failed test (it did not load, or a hook threw) is one failure. */
function count(report: Report): Totals {
  const statuses = report.testResults.flatMap((file) => file.assertionResults.map((test) => test.status));
  const brokenFiles = report.testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
  ).length;
  const passed = statuses.filter((status) => status === "passed").length;
  const failed = statuses.filter((status) => status === "failed").length;
  return { passed, failed: failed + brokenFiles, skipped: statuses.length - passed - failed };
}

/** Runs vitest; undefined where it ended without a report. */
function runTests(args: readonly string[]): { readonly totals: Totals | undefined; readonly exitCode: number } {
  const directory = mkdtempSync(path.join(tmpdir(), "quipu-test-"));
  const reportFile = path.join(directory, "report.json");
  try {
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${reportFile}`];
    const run = spawnSync(tool("vitest"), ["run", ...reporters, ...args], { cwd: root, stdio: "inherit" });
    return { totals: readTotals(reportFile), exitCode: run.status ?? 1 };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function readTotals(reportFile: string): Totals | undefined {
  try {
    return count(JSON.parse(readFileSync(reportFile, "utf8")) as Report);
  } catch {
    return undefined; // vitest was killed, or refused its arguments; it has said why.
  }
}

function main(): number {
  const build = spawnSync(tool("tsc"), ["-b"], { cwd: root, stdio: "inherit" });
  const { totals, exitCode } =
    build.status === 0 ? runTests(process.argv.slice(2)) : { totals: undefined, exitCode: 1 };
  const { passed, failed, skipped } = totals ?? { passed: 0, failed: 0, skipped: 0 };
  // A run that failed outside of every test (an unhandled rejection, no test found, no build) is one failure.
  const shownFailed = exitCode !== 0 && failed === 0 ? 1 : failed;
  console.log(`\n${passed} passed, ${shownFailed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`);
  return shownFailed === 0 ? exitCode : 1;
}

process.exitCode = main();
