/** Lost quorum, with real processes: two of three machines are gone for good, and the third's data become a new cell. */
import { rmSync } from "node:fs";
import path from "node:path";
import { connect } from "@quipu/client";
import { isWhole, LocalCell, type LocalNode } from "quipu/testing";
import { afterAll, expect, test } from "vitest";
import { RawClient } from "./resp-client.ts";
import { runCli } from "./run-cli.ts";
import { temporaryDirectory } from "./temporary.ts";

const root = temporaryDirectory();
const cells: LocalCell[] = [];
afterAll(() => {
  for (const cell of cells) cell.killNow();
});

const keys = 20;

/** Joining, fetching the state and being promoted take some seconds; a test that waits in vain fails. */
const wholeMsMax = 30_000;

async function whole(cell: LocalCell): Promise<void> {
  const deadlineMs = performance.now() + wholeMsMax;
  for (;;) {
    const status = (await cell.status())?.cell ?? undefined;
    if (status !== undefined && isWhole(status, 3)) return;
    if (performance.now() > deadlineMs) throw new Error(`not whole: ${JSON.stringify(status)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function answers(node: LocalNode, command: string, reply: string): Promise<void> {
  const connection = await RawClient.open(node.server.respPort);
  connection.lines(command);
  expect(await connection.take(reply)).toBe(reply);
  connection.socket.destroy();
}

test("two of three machines are lost: the third is recovered, the others come back empty, every count is exact", async () => {
  const cell = await LocalCell.start({ directory: path.join(root, "lost"), nodes: 3 });
  cells.push(cell);
  const client = await connect(cell.url);
  const add = (rounds: number): Promise<unknown> =>
    Promise.all(Array.from({ length: rounds * keys }, (_, i) => client.counter(`key ${i % keys}`).add()));
  await add(10);
  await answers(cell.node("n1"), "Q.ONCE order-17 INCRBY stock 5", ":5\r\n");
  // The client keeps its session: the batches that it sends later are numbered on.
  const [n1, n2, n3] = cell.nodes as [LocalNode, LocalNode, LocalNode];
  await whole(cell);
  // A read there is answered above everything that was acknowledged: n3 has it all.
  await answers(n3, "GET stock", "$1\r\n5\r\n");

  const held = await runCli(["cell", "recover", "--data", n3.dataDirectory, "--yes"]);
  expect(held).toMatchObject({ code: 1, stderr: expect.stringContaining("DATA_DIRECTORY_IN_USE") as unknown });
  await cell.stop("SIGKILL");
  for (const { dataDirectory } of [n1, n2]) rmSync(dataDirectory, { recursive: true });

  const would = await runCli(["cell", "recover", "--data", n3.dataDirectory]);
  expect(would).toMatchObject({ code: 2, stdout: expect.stringContaining("It would become") as unknown });
  const done = await runCli(["cell", "recover", "--data", n3.dataDirectory, "--yes", "--output", "json"]);
  expect(done.code).toBe(0);
  const answer = JSON.parse(done.stdout) as Record<string, unknown>;
  expect(answer).toMatchObject({ outcome: "recovered", node: 3, name: "n3", others: ["n1", "n2"] });

  await n3.server.restart();
  await Promise.all([n1, n2].map(({ server }) => server.restart()));
  await whole(cell);
  const status = (await cell.status())?.cell;
  expect(status?.nodes.map(({ name, node }) => [name, node])).toEqual([
    ["n1", 1],
    ["n2", 2],
    ["n3", 3],
  ]);
  await add(5);
  for (let i = 0; i < keys; i++) expect(await client.counter(`key ${i}`).get()).toBe(15n);
  await client.close();
  await answers(n1, "Q.ONCE order-17 INCRBY stock 5", ":5\r\n");
  await answers(n2, "GET stock", "$1\r\n5\r\n");
});

test("a directory without a cell is refused with a reason, and none is made", async () => {
  const missing = path.join(root, "missing");
  const result = await runCli(["cell", "recover", "--data", missing, "--yes"]);
  expect(result).toMatchObject({ code: 2, stderr: expect.stringContaining("is no data directory") as unknown });
  expect(await runCli(["cell", "recover", "--data", missing])).toMatchObject({ code: 2 });
});
