/** Real cells whose nodes are found elsewhere than the roster says, and a node whose place was given away meanwhile. */
import { cpSync, rmSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { isWhole, LocalCell, type LocalNode, RawConnection } from "quipu/testing";
import type { CellStatus } from "../src/node-status.ts";
import { runCli } from "./run-cli.ts";
import { temporaryDirectory } from "./temporary.ts";

/** For a busy machine. */
const startTimeoutMs = 60_000;
const cells: LocalCell[] = [];
afterEach(() => {
  for (const cell of cells.splice(0)) cell.killNow();
});

async function prepare(directory: string): Promise<LocalCell> {
  const cell = await LocalCell.prepare({ directory, nodes: 3, startTimeoutMs });
  cells.push(cell);
  return cell;
}

const ask = ({ server }: LocalNode, ...words: readonly string[]): Promise<unknown> =>
  RawConnection.askOnce(server.respPort, ...words);

/** Polls what `from` says of its cell; fails in the end, saying what it said last. */
async function whenStatus(cell: LocalCell, from: LocalNode, holds: (status: CellStatus) => boolean): Promise<void> {
  const endMs = performance.now() + startTimeoutMs;
  for (;;) {
    const status = (await cell.status([from]))?.cell ?? undefined;
    if (status !== undefined && holds(status)) return;
    if (performance.now() > endMs) throw new Error(`${from.name} says ${JSON.stringify(status)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The leader of a new cell writes it a moment after it serves; operators are told until then that there is none. */
async function whenRosterIsWritten({ name, server }: LocalNode): Promise<void> {
  await operate(server.httpUrl, "promote", name);
}

/** As an operator does, who is told that nobody leads at the moment: asks again. */
async function operate(endpoint: string, ...words: readonly string[]): Promise<void> {
  const endMs = performance.now() + startTimeoutMs;
  for (;;) {
    const { code, stderr } = await runCli(["cell", ...words, "--endpoint", endpoint]);
    if (code === 0) return;
    if (performance.now() > endMs) throw new Error(stderr);
  }
}

test("a cell all of whose nodes have other addresses goes on, and writes them down", { timeout: 200_000 }, async () => {
  const directory = temporaryDirectory();
  const before = await prepare(directory);
  await before.startAll();
  expect(await ask(before.nodes[0] as LocalNode, "INCRBY", "kept", "5")).toBe(5);
  await whenRosterIsWritten(before.nodes[0] as LocalNode);
  await before.stop();
  const after = await prepare(directory);
  const [first] = after.nodes as readonly [LocalNode];
  const old = before.nodes.map(({ peerPort }) => `127.0.0.1:${peerPort}`);
  const started: Promise<void>[] = [];
  // One after another, each with the old roster in its hands before the next one comes: nobody can lead meanwhile.
  for (const node of after.nodes) {
    started.push(node.server.restart());
    await whenStatus(
      after,
      node,
      (cell) => cell.id !== null && cell.nodes.some(({ address }) => old.includes(address)),
    );
  }
  await Promise.all(started);
  const expected = after.nodes.map(({ peerPort }) => `127.0.0.1:${peerPort}`);
  await whenStatus(after, first, (cell) => {
    return isWhole(cell, 3) && expected.every((address) => cell.nodes.some((node) => node.address === address));
  });
  for (const node of after.nodes) expect(await ask(node, "GET", "kept")).toBe("5");
});

test("an old disk of a node that was replaced says so, and an empty one joins", { timeout: 200_000 }, async () => {
  const cell = await prepare(temporaryDirectory());
  await cell.startAll();
  const [first] = cell.nodes as readonly [LocalNode];
  await whenStatus(cell, first, (status) => isWhole(status, 3));
  const leader = (await cell.leader()) as LocalNode;
  const node = cell.nodes.find((each) => each !== leader) as LocalNode;
  await node.server.stop("SIGKILL");
  cpSync(node.dataDirectory, `${node.dataDirectory}.old`, { recursive: true });
  // It may have led the cell itself, if not its log.
  await operate(leader.server.httpUrl, "replace", node.name, "--force");
  const restarted = node.server.restart();
  restarted.catch(() => undefined);
  await whenStatus(cell, node, ({ waitingFor }) => waitingFor?.includes("was replaced or removed since") === true);
  await node.server.stop("SIGKILL");
  await expect(restarted).rejects.toThrow("ended");
  rmSync(node.dataDirectory, { recursive: true });
  await node.server.restart();
  await whenStatus(cell, leader, (status) => isWhole(status, 3));
});
