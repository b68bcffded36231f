/** Damage that is found late: in a log that is sound to the write-ahead log, and in the words of the log in the store. */
import { SeededRandom } from "@quipu/core";
import { type GroupWrite, WriteAheadLog } from "@quipu/log";
import { groupStateBytesMax } from "@quipu/protocol";
import { expect, test } from "vitest";
import { cellWalDirectory, putLogStart } from "../src/mod.ts";
import { TestCell, type TestHost } from "./test-cell.ts";

const limits = {
  segmentBytes: 256 * 1024,
  frameBytesMax: 64 * 1024,
  groupsMax: 8,
  hardStateBytesMax: groupStateBytesMax,
};

/** Writes soundly, as far as the write-ahead log can tell. */
async function write(cell: TestCell, host: TestHost, content: GroupWrite): Promise<void> {
  const wal = await WriteAheadLog.open({
    disk: host.disk,
    directory: cellWalDirectory,
    clock: cell.clock,
    random: new SeededRandom(1),
    limits,
    onFatal: (error) => host.fatal.push(error),
  });
  const [group] = wal.groups();
  let isDone = false;
  wal.write(group ?? 0, content, () => (isDone = true));
  await cell.until(() => isDone);
  await wal.close();
}

test.each([
  ["state", { hardState: Uint8Array.of(255, 1, 2, 3) }],
  ["entry", { records: [Uint8Array.of(255, 255)] }],
] as const)(
  "a log whose %s does not decode is set aside, and its node rejoins as another member",
  async (_, content) => {
    const cell = new TestCell(3);
    await cell.startAll();
    for (let i = 0; i < 5; i++) await cell.add(1, `key ${i}`);
    const host = cell.host(3);
    const { member } = host.up;
    cell.crash(3);
    await write(cell, host, content);
    void cell.start(3);
    await cell.until(() => host.up.isServing);
    expect(host.up.member).not.toBe(member);
    expect(host.up.status.damage).toMatch(/does not decode/);
    expect((await host.disk.list(".")).filter((name) => name.includes("damaged"))).toHaveLength(1);
    expect(await cell.add(3, "key 1")).toBe("1:2");
    expect(new Set(await cell.hashes()).size).toBe(1);
    // It stays who it is.
    const another = host.up.member;
    cell.crash(3);
    void cell.start(3);
    await cell.until(() => host.up.isServing);
    expect(host.up.member).toBe(another);
    expect(cell.hosts.flatMap(({ fatal }) => fatal)).toEqual([]);
  },
);

test("a store whose words on the log do not decode is replaced from another node", async () => {
  const cell = new TestCell(3);
  await cell.startAll();
  for (let i = 0; i < 5; i++) await cell.add(1, `key ${i}`);
  for (const { up } of cell.hosts) {
    let isWritten = false;
    void up.checkpoint().then(() => (isWritten = true));
    await cell.until(() => isWritten);
  }
  const host = cell.host(3);
  const { member } = host.up;
  cell.crash(3);
  const batch = host.store.batch();
  putLogStart(batch, member, Uint8Array.of(255, 255));
  await batch.write({ sync: true });
  void cell.start(3);
  await cell.until(() => host.up.isServing);
  expect(host.up.shard.status.storesRejected).toBe(1);
  expect(await cell.add(3, "key 1")).toBe("1:2");
  expect(new Set(await cell.hashes()).size).toBe(1);
  expect(cell.hosts.flatMap(({ fatal }) => fatal)).toEqual([]);
});
