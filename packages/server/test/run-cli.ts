/** Runs the built command line to its end. `npm test` builds before it tests. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";

const packageDirectory = path.resolve(import.meta.dirname, "..");
const launcher = path.join(packageDirectory, "bin", "quipu.js");

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that hangs must not hang the tests. */
const timeoutMs = 30_000;

export function runCli(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CliResult> {
  if (!existsSync(path.join(packageDirectory, "dist", "cli", "main.js"))) {
    throw new Error("packages/server is not built: npm run build");
  }
  return new Promise((resolve) => {
    const env = { ...process.env, ...environment };
    execFile(process.execPath, [launcher, ...args], { env, timeout: timeoutMs }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ code, stdout, stderr });
    });
  });
}
