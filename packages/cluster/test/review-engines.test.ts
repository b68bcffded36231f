/** A log that is kept elsewhere, or on one node only: what becomes of the cell when something is wrong with it. */
import { QuipuError } from "@quipu/core";
import { type LogletEngine, memoryEngine } from "@quipu/log";
import { describe, expect, test } from "vitest";
import { TestCell } from "./test-cell.ts";

const isAside = (cell: TestCell, number: number): boolean =>
  cell
    .host(number)
    .disk.paths()
    .some((path) => path.startsWith("wal.damaged-"));

function damageLog(cell: TestCell, number: number): void {
  const { disk } = cell.host(number);
  const path = disk.paths().find((name) => name.startsWith("wal/") && disk.bytes(name).some((byte) => byte !== 0));
  disk.flipBit(path as string, 8 * 200);
}

/** A service with its own memory; what it keeps may be damaged. */
function service(): { readonly engine: LogletEngine; isDamaged: boolean } {
  const inner = memoryEngine();
  const made = {
    isDamaged: false,
    engine: {
      ...inner,
      open: (parameters: string) =>
        made.isDamaged
          ? Promise.reject(new QuipuError("LOG_CORRUPT", "the service: the head is gone"))
          : inner.open(parameters),
    },
  };
  return made;
}

test("damage of a service's log is not taken for damage of this node's", async () => {
  const outside = service();
  const cell = new TestCell(3, { engines: { outside: outside.engine } });
  await cell.startAll();
  await cell.add(1, "a");
  await cell.until(() => cell.leader > 0);
  let isSwitched = false;
  void cell
    .host(cell.leader)
    .up.log.reconfigure("outside")
    .then(() => (isSwitched = true));
  await cell.until(() => isSwitched);
  await cell.add(1, "a");
  await cell.run(3000);
  for (const { number } of cell.hosts) cell.crash(number);
  outside.isDamaged = true;
  const failures: unknown[] = [];
  for (const { number } of cell.hosts) cell.start(number).catch((error: unknown) => failures.push(error));
  await cell.run(5000);
  expect(cell.hosts.map(({ number }) => isAside(cell, number))).toEqual([false, false, false]);
  expect(failures).toEqual(cell.hosts.map(() => expect.objectContaining({ code: "LOG_CORRUPT" }) as unknown));
});

describe("a log on one node's disk", () => {
  test("is not put aside when damaged, though others have joined since", async () => {
    const cell = new TestCell(3, { initialEngine: "local" }, 1);
    void cell.start(1);
    await cell.until(() => cell.host(1).node?.isServing === true);
    await cell.add(1, "a");
    for (const joiner of [2, 3]) void cell.start(joiner, true);
    await cell.until(() => cell.host(1).up.metadataGroup?.inspect().configuration.voters.length === 3);
    await cell.add(1, "a");
    await cell.run(100);
    for (const { number } of cell.hosts) cell.crash(number);
    damageLog(cell, 1);
    let failure: unknown;
    cell.start(1).catch((error: unknown) => (failure = error));
    await cell.until(() => failure !== undefined || isAside(cell, 1));
    expect(isAside(cell, 1)).toBe(false);
    expect(failure).toMatchObject({ code: "LOG_CORRUPT", message: expect.stringContaining("alone keeps") as unknown });
  });
});
