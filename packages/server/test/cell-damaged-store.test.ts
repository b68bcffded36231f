/** LevelDB's files of a stopped follower are damaged: it comes back whole, from its log and its peers. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { connect } from "@quipu/client";
import { isWhole, LocalCell, type LocalNode } from "quipu/testing";
import { afterAll, expect, test } from "vitest";
import { RawClient } from "./resp-client.ts";
import { temporaryDirectory } from "./temporary.ts";

const root = temporaryDirectory();
const cells: LocalCell[] = [];
afterAll(() => {
  for (const cell of cells) cell.killNow();
});

const keys = 500;
const wholeMsMax = 30_000;

async function whole(cell: LocalCell): Promise<void> {
  const deadlineMs = performance.now() + wholeMsMax;
  for (;;) {
    const status = (await cell.status())?.cell ?? undefined;
    if (status !== undefined && isWhole(status, 3, 0)) return;
    if (performance.now() > deadlineMs) throw new Error(`not whole: ${JSON.stringify(status)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function damage(node: LocalNode, pattern: RegExp): number {
  const store = path.join(node.dataDirectory, "store");
  const files = readdirSync(store).filter((name) => pattern.test(name));
  for (const name of files) {
    const file = path.join(store, name);
    const content = readFileSync(file);
    // Everything but the first and last bytes, so that whatever is read meets it.
    for (let at = 16; at < content.length - 64; at += 7) content[at] = (content[at] as number) ^ 0x55;
    writeFileSync(file, content);
  }
  return files.length;
}

test("tables, then the manifest of a follower are damaged while it is stopped: it comes back with every count", async () => {
  const cell = await LocalCell.start({
    directory: path.join(root, "damaged"),
    nodes: 3,
    extraArguments: ["--checkpoint-seconds", "1"],
  });
  cells.push(cell);
  const client = await connect(cell.url);
  const add = (): Promise<unknown> =>
    Promise.all(Array.from({ length: keys }, (_, i) => client.counter(`key ${i}`).add()));
  let rounds = 0;
  for (const pattern of [/\.ldb$/, /^MANIFEST-/]) {
    await add();
    await whole(cell);
    const leader = await cell.leader();
    const victim = cell.nodes.find((node) => node !== leader) as LocalNode;
    // Opening LevelDB puts what its log holds into a table: so there is one after the second stop.
    await victim.server.stop("SIGTERM");
    await victim.server.restart();
    await whole(cell);
    await victim.server.stop("SIGTERM");
    await add();
    rounds += 2;
    expect(damage(victim, pattern)).toBeGreaterThan(0);
    await victim.server.restart();
    await whole(cell);
    const connection = await RawClient.open(victim.server.respPort);
    for (let i = 0; i < keys; i++) {
      const reply = `$1\r\n${rounds}\r\n`;
      connection.send(`*2\r\n$3\r\nGET\r\n$${`key ${i}`.length}\r\nkey ${i}\r\n`);
      expect(await connection.take(reply)).toBe(reply);
    }
    connection.socket.destroy();
    expect(existsSync(path.join(victim.dataDirectory, "store.damaged"))).toBe(true);
  }
  await client.close();
});
