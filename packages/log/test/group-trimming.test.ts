/** When a group's log begins later, and how a member gets over what is gone; restarts of its members. */
import { type MemberId } from "@quipu/consensus";
import { lsn } from "@quipu/core";
import { describe, expect, test } from "vitest";
import { bothEngines, bytesOf, Reading, TestCell } from "./group-harness.ts";

async function cellWith(records: number, options: ConstructorParameters<typeof TestCell>[0] = {}): Promise<TestCell> {
  const cell = await TestCell.open(options);
  await cell.untilLeader();
  const { log } = cell.node(cell.follower());
  for (let i = 0; i < records; i++) await cell.until(log.append([bytesOf(`${i}`)]));
  await cell.forMs(300);
  return cell;
}

const startOf = (cell: TestCell, member: MemberId): number => cell.group(member).inspect().start.index;

describe.each(bothEngines)("%s:", (engine) => {
  test("trimmed is what a majority of the voters has in snapshots, and this member itself", async () => {
    const cell = await cellWith(20, { engine, seed: 1 });
    const [a, b, c] = [...cell.nodes.keys()] as [MemberId, MemberId, MemberId];
    await cell.until(cell.node(a).log.trim(lsn(10)));
    await cell.forMs(2000);
    expect([a, b, c].map((member) => startOf(cell, member))).toEqual([0, 0, 0]);
    await cell.until(cell.node(b).log.trim(lsn(7)));
    await cell.forMs(2000);
    // c said nothing: its own snapshots do not reach there.
    expect([a, b, c].map((member) => startOf(cell, member))).toEqual([7, 7, 0]);
    await cell.until(cell.node(c).log.trim(lsn(12)));
    await cell.forMs(2000);
    expect([a, b, c].map((member) => startOf(cell, member))).toEqual([10, 7, 10]);
  });

  test("what is said is repeated: a member that was away hears it", async () => {
    const cell = await cellWith(10, { engine, seed: 2 });
    const [a, b, c] = [...cell.nodes.keys()] as [MemberId, MemberId, MemberId];
    cell.isolate(c);
    for (const member of [a, b]) await cell.until(cell.node(member).log.trim(lsn(6)));
    await cell.forMs(100);
    cell.heal();
    await cell.until(cell.node(c).log.trim(lsn(6)));
    await cell.until(() => startOf(cell, c) === 6);
  });

  test("a leader keeps the log for one that is behind but alive, up to a limit", async () => {
    for (const followerPinBytesMax of [1_000_000, 100]) {
      const cell = await cellWith(5, { engine, seed: 3, settings: { followerPinBytesMax } });
      const leader = await cell.untilLeader();
      const slow = cell.follower();
      const [other] = [...cell.nodes.keys()].filter((member) => member !== leader && member !== slow) as [MemberId];
      // It answers, and has no room on its disk: alive, but behind.
      cell.node(slow).disk.fault = ({ type }) => (type === "write" ? { type: "shortWrite", bytes: 0 } : undefined);
      const stuck = cell.node(slow);
      const write = stuck.wal.write.bind(stuck.wal);
      stuck.wal.write = () => undefined;
      for (let i = 0; i < 20; i++) await cell.until(cell.node(leader).log.append([bytesOf(`more ${i}`)]));
      await cell.forMs(300);
      const tail = await cell.until(cell.node(leader).log.tail());
      for (const member of [leader, other]) await cell.until(cell.node(member).log.trim(lsn(tail.tail - 1)));
      await cell.forMs(2000);
      if (followerPinBytesMax > 100) expect(startOf(cell, leader)).toBeLessThan(tail.tail - 15);
      else expect(startOf(cell, leader)).toBe(tail.tail - 1);
      void write;
    }
  });

  test("agreed is what a majority has in snapshots and everybody who is alive; of a sealed log all of it", async () => {
    const cell = await cellWith(12, { engine, seed: 8, settings: { aliveTicks: 20 } });
    const [a, b, c] = [...cell.nodes.keys()] as [MemberId, MemberId, MemberId];
    const agreed = (): readonly unknown[] =>
      [a, b, c].map((member) => cell.nodes.get(member)?.log.replication?.agreedUpTo());
    await cell.until(cell.node(a).log.seal());
    const { tail } = await cell.until(cell.node(b).log.tail());
    const last = lsn(tail - 1);
    for (const member of [a, b]) await cell.until(cell.node(member).log.trim(last));
    await cell.forMs(2000);
    expect(agreed()).toEqual([0, 0, 0]);
    await cell.until(cell.node(c).log.trim(lsn(last - 1)));
    await cell.forMs(2000);
    expect(agreed()).toEqual([last - 1, last - 1, last - 1]);
    cell.crash(c);
    await cell.forMs(2000);
    expect(agreed()).toEqual([last, last, undefined]);
    await cell.restart(b);
    await cell.forMs(2000);
    expect(agreed()).toEqual([last, 0, undefined]);
  });

  test("agreed does not wait for one that is alive where the log grows too large for that", async () => {
    const cell = await cellWith(12, { engine, seed: 9, settings: { followerPinBytesMax: 100 } });
    const [a, b] = [...cell.nodes.keys()] as [MemberId, MemberId];
    for (const member of [a, b]) await cell.until(cell.node(member).log.trim(lsn(2)));
    await cell.forMs(2000);
    expect(cell.node(a).log.replication?.agreedUpTo()).toBe(2);
  });

  test("a member behind the trim point is told what it needs; a snapshot's start lets it go on", async () => {
    const cell = await cellWith(5, { engine, seed: 4 });
    const leader = await cell.untilLeader();
    const behind = cell.follower();
    const reading = new Reading(cell.node(behind).log);
    const needed: [number, number][] = [];
    cell.node(behind).log.replication?.onSnapshotNeeded((source, atLeast) => needed.push([source, atLeast]));
    await cell.forMs(100);
    cell.isolate(behind);
    const { log } = cell.node(leader);
    let last = lsn(0);
    for (let i = 0; i < 20; i++) ({ last } = await cell.until(log.append([bytesOf(`more ${i}`)])));
    for (const node of cell.nodes.values()) if (node.member !== behind) await cell.until(node.log.trim(lsn(last - 3)));
    await cell.until(() => startOf(cell, leader) === last - 3);
    cell.heal();
    await cell.until(() => needed.length > 2);
    expect(needed.every(([source]) => cell.nodes.has(source as MemberId))).toBe(true);
    const [, atLeast] = needed.at(-1) as [number, number];
    expect(atLeast).toBeLessThanOrEqual(last);

    const position = lsn(last - 1);
    const start = log.replication?.startAt(position);
    expect(start).toBeDefined();
    expect(log.replication?.startAt(lsn(last + 1000))).toBeUndefined();
    expect(log.replication?.startAt(lsn(1))).toBeUndefined();
    const { replication } = cell.node(behind).log;
    await expect(replication?.installed(Uint8Array.of(1, 2, 3))).rejects.toMatchObject({ code: "LOG_CORRUPT" });
    await cell.until(replication?.installed(start as Uint8Array) as Promise<void>);
    expect(reading.gaps).toEqual([position]);
    await cell.until(() => reading.texts.has(last));
    expect([...reading.texts.keys()].filter((at) => at > position)).toEqual([last]);
    // Again, and late: the log reaches there already.
    await cell.until(replication?.installed(start as Uint8Array) as Promise<void>);
    expect(reading.gaps.length).toBe(1);

    await cell.restart(behind);
    expect(cell.group(behind).inspect().start.index).toBe(position);
    const again = new Reading(cell.node(behind).log);
    await cell.until(() => again.texts.has(last));
    expect(again.gaps).toEqual([position]);
  });

  test("restarts between appends, of every member in turn and of all at once, lose nothing that was acknowledged", async () => {
    const cell = await TestCell.open({ engine, seed: 5, lossPercent: 2, delayMsMax: 8 });
    const acknowledged: string[] = [];
    for (let i = 0; i < 24; i++) {
      await cell.untilLeader();
      const member = cell.founders[i % 3] as MemberId;
      const { log } = cell.node(member);
      for (const text of [`${i}a`, `${i}b`]) {
        await cell.until(log.append([bytesOf(text)])).then(
          () => acknowledged.push(text),
          () => undefined,
        );
      }
      void log.append([bytesOf(`${i} under way`)]).catch(() => undefined);
      if (i % 8 === 7) {
        const all = [...cell.nodes.keys()];
        for (const one of all) cell.crash(one);
        for (const one of all) await cell.start(one);
      } else {
        await cell.restart(member);
      }
    }
    await cell.untilLeader();
    for (const { log, fatal } of cell.nodes.values()) {
      const reading = new Reading(log);
      const { tail } = await cell.until(log.tail());
      await cell.until(() => Math.max(0, ...reading.texts.keys()) === tail - 1);
      expect(reading.all.filter((text) => acknowledged.includes(text))).toEqual(acknowledged);
      expect(fatal).toEqual([]);
    }
    expect(acknowledged.length).toBeGreaterThan(40);
  });

  test("an installation that the disk has not confirmed ends when the log is closed", async () => {
    const cell = await cellWith(3, { engine, seed: 6 });
    const leader = await cell.untilLeader();
    const { log, wal, engines } = cell.node(cell.follower());
    const { last } = await cell.until(cell.node(leader).log.append([bytesOf("x")]));
    await cell.forMs(500);
    const start = cell.node(leader).log.replication?.startAt(last) as Uint8Array;
    wal.write = () => undefined;
    cell.isolate(leader);
    // An entry that waits for the disk: the installation is not durable before it is.
    await cell.until(() => cell.leader() !== leader && cell.leader() !== undefined, 5_000).catch(() => undefined);
    const installing = log.replication?.installed(start) as Promise<void>;
    const end = installing.then(
      () => "durable",
      (error: { readonly code: string }) => error.code,
    );
    await engines.close();
    expect(await cell.until(end)).toBe("SHUTTING_DOWN");
  });
});
