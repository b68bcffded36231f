/** Disks of a real cell: a single process' directory becomes the first node's, a damaged log is repaired, a full one recovers. */
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ChaosCell, ChildServer, LocalCell, type LocalNode, RawConnection, RawError } from "quipu/testing";
import { temporaryDirectory } from "./temporary.ts";

function ask(server: ChildServer, ...words: readonly string[]): Promise<unknown> {
  return RawConnection.askOnce(server.respPort, ...words);
}

test(
  "a single process' directory becomes the first node of a cell, with all that it promised",
  { timeout: 180_000 },
  async () => {
    const directory = temporaryDirectory();
    const cell = await LocalCell.prepare({ directory, nodes: 3, startTimeoutMs: 90_000 });
    const [first, second, third] = cell.nodes as readonly [LocalNode, LocalNode, LocalNode];
    const single = await ChildServer.start({ dataDirectory: first.dataDirectory });
    expect(await ask(single, "INCRBY", "before", "41")).toBe(41);
    expect(await ask(single, "Q.ONCE", "order-7", "INCR", "before")).toBe(42);
    const [session] = (await ask(single, "Q.SESSION")) as readonly [string];
    const batch = ["Q.BATCH", session, "1", "1", "ADD", "batched", "5"];
    expect((await ask(single, ...batch)) as readonly unknown[]).toMatchObject({ 1: 0, 2: [5] });
    await single.stop("SIGTERM");
    try {
      await cell.startAll();
      for (const { server } of cell.nodes) expect(await ask(server, "GET", "before")).toBe("42");
      expect(await ask(second.server, "Q.ONCE", "order-7", "INCR", "before")).toBe(42);
      expect((await ask(third.server, ...batch)) as readonly unknown[]).toMatchObject({ 1: 1, 2: [5] });
      await cell.stop("SIGTERM");
      // It is a cell's now: alone it would count without the others.
      await expect(ChildServer.start({ dataDirectory: first.dataDirectory })).rejects.toThrow(/cell/);
    } finally {
      cell.killNow();
    }
  },
);

describe("a cell whose disks fail", () => {
  const directory = temporaryDirectory();
  let cell: ChaosCell;

  beforeAll(async () => {
    cell = await ChaosCell.start(directory, 3);
  }, 120_000);

  afterAll(async () => {
    const { surprises } = cell;
    await cell.dispose();
    expect(surprises).toEqual([]);
  });

  test(
    "flipped bytes in a follower's log are reported, and repaired from the others",
    { timeout: 180_000 },
    async () => {
      const leader = await cell.leader();
      const node = cell.nodes.find((each) => each !== leader) as LocalNode;
      for (let count = 1; count <= 50; count++) expect(await ask(leader.server, "INCR", "damaged")).toBe(count);
      await cell.kill(node);
      flipBytes(path.join(node.dataDirectory, "wal"));
      await cell.restart(node);
      await cell.whenWhole();
      expect(await ask(node.server, "GET", "damaged")).toBe("50");
      await cell.whenEqual();
      await cell.stop(node);
      const { stderr } = await node.server.exited;
      expect(stderr).toContain("the log of this node was damaged");
      await cell.restart(node);
    },
  );

  test(
    "a full disk of the leader: refused clearly or led elsewhere; all is well when there is room",
    { timeout: 180_000 },
    async () => {
      const leader = await cell.leader();
      const value = "x".repeat(400_000);
      await cell.tell(leader, { type: "disk", state: "full" });
      let taken = 0;
      let refusal: string | undefined;
      await cell.until("a refusal or another leader", async () => {
        const reply = await ask(leader.server, "SET", `large:${taken % 10}`, value).catch(() => "lost");
        if (reply instanceof RawError) refusal = reply.text;
        else taken++;
        return refusal !== undefined || (await cell.leader()) !== leader ? true : undefined;
      });
      if (refusal !== undefined) expect(refusal).toMatch(/^(OVERLOADED|INDOUBT)/);
      await cell.tell(leader, { type: "disk", state: "good" });
      await cell.until("a write", async () =>
        (await ask(leader.server, "SET", "room", "1")) === "OK" ? true : undefined,
      );
      await cell.whenWhole();
      for (const { server } of cell.nodes) expect(await ask(server, "GET", "room")).toBe("1");
      await cell.whenEqual();
    },
  );
});

/** Within what was written, far from the end: no crash leaves that. */
function flipBytes(wal: string): void {
  const name = readdirSync(wal).find((each) => /^wal-\d+$/.test(each)) as string;
  const bytes = readFileSync(path.join(wal, name));
  let used = bytes.length;
  while (used > 0 && bytes[used - 1] === 0) used--;
  const at = Math.floor(used / 2);
  const descriptor = openSync(path.join(wal, name), "r+");
  writeSync(descriptor, Buffer.from(bytes.subarray(at, at + 64).map((byte) => byte ^ 0xff)), 0, 64, at);
  closeSync(descriptor);
}
