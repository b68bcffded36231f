/** `quipu dev`, the running: starts the nodes, shows how they are, starts again those that die, stops all in order. */
import { mkdtempSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import path from "node:path";
import { QuipuError } from "@quipu/core";
import { LocalCell, type LocalNode } from "../local-cell/local-cell.ts";
import type { CellStatus } from "../node-status.ts";
import type { DevOptions } from "./dev.ts";
import { describeCell } from "./status.ts";
import { Screen } from "./terminal/screen.ts";

/** As fresh as what the nodes tell each other. */
const refreshMs = 500;
/** Before a node that died is started again: time to see the others go on without it. */
const restartDelayMs = 1_000;

export async function runDev(options: DevOptions): Promise<void> {
  const directory = options.data ?? mkdtempSync(path.join(tmpdir(), "quipu-dev-"));
  const remove = (): void => {
    if (options.data === undefined) rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  };
  const cell = await LocalCell.prepare({
    directory,
    nodes: options.nodes,
    firstPorts: { resp: options.respPort, http: options.httpPort, peer: options.peerPort },
    extraArguments: ["--allow-flush", "--log-level", "error", ...engineArguments(options)],
  });
  const dev = new DevCell(cell, new Screen(process.stdout));
  let isStopping = false;
  const stop = (signal: "SIGINT" | "SIGTERM"): void => {
    if (isStopping) {
      cell.killNow();
      remove();
      process.exit(128 + constants.signals[signal]);
    }
    isStopping = true;
    void dev.stop().then(() => {
      remove();
      process.exit(0);
    });
  };
  process.on("SIGINT", () => stop("SIGINT"));
  process.on("SIGTERM", () => stop("SIGTERM"));
  try {
    await dev.run(directory);
  } catch (error) {
    if (isStopping) return;
    dev.abandon();
    cell.killNow();
    remove();
    throw new QuipuError("INVALID_CONFIGURATION", firstLines(error), { cause: error });
  }
}

function engineArguments({ engine, endpoints }: DevOptions): readonly string[] {
  return [
    ...(engine === undefined ? [] : ["--engine", engine]),
    ...(endpoints === undefined ? [] : ["--endpoints", endpoints]),
  ];
}

/** What the child says is wrong (a taken port, a held directory), without the rest of its output. */
function firstLines(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const said = text.split("\n").filter((line) => line.startsWith("quipu"));
  return (said.at(-1) ?? text).replace(/^quipu: /, "");
}

class DevCell {
  readonly #cell: LocalCell;
  readonly #screen: Screen;
  #isStopping = false;
  #lastEvents = "";

  constructor(cell: LocalCell, screen: Screen) {
    this.#cell = cell;
    this.#screen = screen;
  }

  async run(directory: string): Promise<void> {
    const started = this.#cell.nodes.map((node) => node.server.restart());
    this.#refresh();
    await Promise.all(started);
    for (const node of this.#cell.nodes) this.#keep(node);
    const [first] = this.#cell.nodes;
    this.#screen.note(
      `${this.#cell.nodes.length} nodes are ready, data in ${directory}. Try: redis-cli -p ${first?.server.respPort ?? 0} INCR visits`,
    );
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#screen.end();
    this.#screen.note("stopping");
    await this.#cell.stop("SIGTERM");
    this.#screen.note("stopped; everything acknowledged is on the nodes' disks");
  }

  /** The start failed: nothing is watched any more, which would keep the process alive. */
  abandon(): void {
    this.#isStopping = true;
    this.#screen.end();
  }

  /** A node that ends without having been asked to is started again. */
  #keep(node: LocalNode): void {
    void node.server.exited.then(({ code, signal }) => {
      if (this.#isStopping) return;
      this.#screen.note(`${node.name} ended (${signal ?? `code ${code}`}); it is started again`);
      setTimeout(() => {
        if (this.#isStopping) return;
        const restarted = node.server.restart();
        this.#keep(node);
        restarted.then(
          () => this.#screen.note(`${node.name} is back`),
          (error: unknown) => this.#screen.note(firstLines(error)),
        );
      }, restartDelayMs);
    });
  }

  #refresh(): void {
    if (this.#isStopping) return;
    void this.#cell.status().then((status) => {
      if (this.#isStopping) return;
      const cell = status?.cell ?? undefined;
      if (cell !== undefined) this.#show(cell);
      setTimeout(() => this.#refresh(), refreshMs);
    });
  }

  #show(cell: CellStatus): void {
    if (this.#screen.isLive) {
      this.#screen.show(`${describeCell(cell, this.#screen.columns)}\n\nCtrl-C stops the cell`);
      return;
    }
    // In a file or a pipe: a line when something happens.
    const states = cell.nodes.map(
      (node) => `${node.name} ${node.isReachable ? (node.isReady ? "ready" : "starting") : "away"}`,
    );
    const events = `leader ${cell.leader ?? "none"}, term ${cell.term}: ${states.join(", ")}`;
    if (events !== this.#lastEvents) this.#screen.note(events);
    this.#lastEvents = events;
  }
}
