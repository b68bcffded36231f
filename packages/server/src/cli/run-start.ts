/** `quipu start`, the running: one durable node until a signal ends it. */
import { constants } from "node:os";
import { loadConfiguration } from "../config/load.ts";
import { createLog, type Log } from "../log.ts";
import { openNode, type QuipuNode } from "../node.ts";
import type { NodePorts } from "../ports/node-ports.ts";
import { version } from "../version.ts";
import { describeError, exitFailure } from "./exit.ts";

/** `ports`: of tests of faults. */
export async function runStart(flags: Readonly<Record<string, unknown>>, ports?: NodePorts): Promise<void> {
  const configuration = loadConfiguration({ flags, environment: process.env });
  const log = createLog(configuration.logLevel);
  const abortion = new AbortController();
  const { signal } = abortion;
  const opening = openNode({
    configuration,
    log,
    onFatal: (error) => endAtOnce(log, error),
    signal,
    ...(ports === undefined ? {} : { ports }),
  });
  stopOnSignals(opening, log, abortion);
  const node = await opening.catch((error: unknown) => {
    // Stopped while it waited for its cell: that is what was asked for, and whoever asked ends the process.
    if (signal.aborted) return undefined;
    throw error;
  });
  if (node === undefined) return;
  const { resp, http } = node.endpoints;
  process.stdout.write(
    `quipu ${version} is ready: RESP ${resp.host}:${resp.port}, HTTP ${http.host}:${http.port}, ` +
      `data ${node.dataDirectory}\n`,
  );
}

/** A failed fsync or a broken invariant: what is in memory may differ from what is on disk, so nothing is saved. */
function endAtOnce(log: Log, error: unknown): void {
  log.fatal({ error: describeError(error) }, "the node cannot go on");
  process.stderr.write(`${describeError(error)}\n`);
  process.exit(exitFailure);
}

function stopOnSignals(opening: Promise<QuipuNode>, log: Log, abortion: AbortController): void {
  let isStopping = false;
  const stop = (signal: "SIGINT" | "SIGTERM"): void => {
    if (isStopping) process.exit(128 + constants.signals[signal]);
    isStopping = true;
    log.info({ signal }, "stopping");
    abortion.abort();
    opening
      .then(
        (node) => node.close(),
        () => undefined,
      )
      .then(
        () => process.exit(0),
        (error: unknown) => endAtOnce(log, error),
      );
  };
  process.on("SIGINT", () => stop("SIGINT"));
  process.on("SIGTERM", () => stop("SIGTERM"));
  // A child of `quipu dev` whose parent was killed. Other processes have no such channel.
  process.once("disconnect", () => stop("SIGTERM"));
}
