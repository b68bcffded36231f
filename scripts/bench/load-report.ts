/** Runs a client load in a process of its own, and judges what it counted. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { KeyChoice } from "./clients/key-choice.ts";
import type { ClientKind } from "./clients/open-client.ts";

export interface LoadReport {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Warm-up included, as in what follows. */
  readonly acknowledged: number;
  /** Calls that failed and may have been applied. */
  readonly unknown: number;
  /** Calls that failed and were surely not applied. */
  readonly refused: number;
  /** What the counters grew by, read back. */
  readonly added: number;
  /** Of the servers asked for, children included, from the first call to the last reply. */
  readonly serverCpuSeconds: number;
  readonly firstError?: string | undefined;
}

export interface ClientLoad {
  readonly client: ClientKind;
  readonly ports: readonly number[];
  readonly callers: number;
  readonly keys: number;
  readonly choice?: KeyChoice;
  readonly seconds: number;
  /** Servers whose CPU time is wanted. */
  readonly pids?: readonly number[];
}

const program = fileURLToPath(new URL("./client-load.ts", import.meta.url));

/** Throws if the counters do not hold what was acknowledged, or if one of our own or Redis' clients saw an error at all. */
export async function runLoad(load: ClientLoad): Promise<LoadReport> {
  const choice = load.choice ?? "uniform";
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...["--conditions=@quipu/source", "--import", "tsx", program],
    ...["--client", load.client, "--ports", load.ports.join(",")],
    ...["--callers", String(load.callers), "--keys", String(load.keys), "--choice", choice],
    ...["--seconds", String(load.seconds), "--prefix", `${load.client}${load.callers}x${load.keys}${choice}`],
    ...["--pids", (load.pids ?? []).join(",")],
  ]);
  const report = JSON.parse(stdout) as LoadReport;
  const { acknowledged, unknown, refused, added } = report;
  if (added < acknowledged || added > acknowledged + unknown) {
    throw new Error(`${load.client}: counters grew by ${added}; ${acknowledged} acknowledged, ${unknown} unknown`);
  }
  const errors = unknown + refused;
  if (errors > 0) {
    const what = `${load.client}: ${unknown} unknown and ${refused} refused of ${acknowledged}: ${report.firstError}`;
    if (load.client === "sdk" || load.client === "ioredis") throw new Error(what);
    process.stderr.write(`${what}\n`);
  }
  return report;
}
