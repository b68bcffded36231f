/** The engine of consensus groups as a whole: groups that come and go, its clock, what it makes of a damaged disk and a broken reader. */
import { type Entry, type LogIndex, term } from "@quipu/consensus";
import { lsn } from "@quipu/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LogSizes } from "../src/engines/group/log-sizes.ts";
import { startTicks } from "../src/engines/group/ticks.ts";
import { bytesOf, Reading, TestCell } from "./group-harness.ts";

describe("groups", () => {
  test("several on one write-ahead log and one hub go on beside each other, and come back after a restart", async () => {
    const cell = await TestCell.open({ seed: 1 });
    await cell.untilLeader();
    const second = new Map();
    for (const { member, engine } of cell.nodes.values()) {
      const parameters = await cell.until(engine.prepare());
      expect(parameters).toBe("2");
      second.set(member, await cell.until(engine.open(parameters)));
    }
    const member = cell.follower();
    for (let i = 0; i < 5; i++) {
      await cell.until(cell.node(member).log.append([bytesOf(`first ${i}`)]));
      await cell.until(second.get(member).append([bytesOf(`second ${i}`)]));
    }
    expect(
      cell
        .node(member)
        .engine.groups()
        .map(({ group }) => group),
    ).toEqual([1, 2]);
    const { engine } = await cell.restart(member);
    const again = await cell.until(engine.open("2"));
    const readings = [new Reading(cell.node(member).log), new Reading(again)];
    await cell.until(() => readings.every(({ all }) => all.length === 5));
    expect(readings.map(({ all }) => all.at(-1))).toEqual(["first 4", "second 4"]);
  });

  test("a group that is given back is gone; its number is not opened twice", async () => {
    const cell = await TestCell.open({ seed: 2 });
    const { engine, wal } = cell.node(await cell.untilLeader());
    await expect(engine.open("1")).rejects.toThrow("open already");
    const parameters = await cell.until(engine.prepare());
    await cell.until(engine.open(parameters));
    await cell.until(engine.discard(parameters));
    await cell.until(engine.discard(parameters));
    expect(wal.groups()).toEqual([1]);
    await expect(engine.open(parameters)).rejects.toThrow("no group 2");
  });

  test("closed: nothing is taken any more, what was under way ends, a start later finds everything", async () => {
    const cell = await TestCell.open({ seed: 3 });
    const { member, engine, log } = cell.node(cell.follower());
    await cell.until(log.append([bytesOf("a")]));
    const reading = new Reading(log);
    const underWay = log.append([bytesOf("b")]).catch((error: unknown) => error);
    await engine.close();
    expect(await underWay).toMatchObject({ code: "SHUTTING_DOWN" });
    for (const refused of [log.append([bytesOf("c")]), log.tail(), log.seal()]) {
      await expect(refused).rejects.toMatchObject({ code: "SHUTTING_DOWN", outcome: "definite" });
    }
    await cell.forMs(500);
    expect(reading.all).toEqual([]);
    expect(engine.groups()).toEqual([]);
    await cell.restart(member);
    const again = new Reading(cell.node(member).log);
    await cell.until(() => again.all.includes("a"));
  });

  test("a reader that throws ends the group, and whoever owns the process hears of it", async () => {
    const cell = await TestCell.open({ seed: 4 });
    const { log, fatal } = cell.node(cell.follower());
    log.read(lsn(1), () => {
      throw new Error("a bug above");
    });
    const append = log.append([bytesOf("x")]).catch((error: unknown) => error);
    await cell.until(() => fatal.length > 0);
    expect(String(fatal[0])).toContain("a bug above");
    expect(await cell.until(append)).toMatchObject({ code: "SHUTTING_DOWN" });
    expect(fatal.length).toBe(1);
  });
});

test("bytes that are not of this engine are refused with LOG_CORRUPT", async () => {
  const corrupt = { code: "LOG_CORRUPT" };
  const cell = await TestCell.open({ seed: 5 });
  const { engine, wal } = cell.node(cell.follower());
  const written = (state: Uint8Array, records: readonly Uint8Array[], group: number): Promise<void> =>
    cell.until(new Promise((resolve) => wal.write(group, { hardState: state, records }, () => resolve())));
  const good = wal.hardState(Number(await cell.until(engine.prepare()))) as Uint8Array;
  await written(Uint8Array.of(9, 9, 9), [], 3);
  await expect(cell.until(engine.open("3"))).rejects.toMatchObject(corrupt);
  await written(good, [Uint8Array.of(77)], 4);
  await expect(cell.until(engine.open("4"))).rejects.toMatchObject(corrupt);
  await cell.until(new Promise<void>((resolve) => wal.write(5, { hardState: good, restartAt: 8 }, () => resolve())));
  await expect(cell.until(engine.open("5"))).rejects.toMatchObject(corrupt);
});

describe("ticks", () => {
  /** A clock whose timers and turns are run by hand. */
  class HandClock {
    nowMs = 0;
    timer: (() => void) | undefined;
    turn: (() => void) | undefined;
    readonly monotonicMs = (): number => this.nowMs;
    readonly wallMs = (): number => this.nowMs;
    readonly setTimer = (_delayMs: number, callback: () => void): (() => void) => {
      this.timer = callback;
      return () => {
        this.timer = undefined;
      };
    };
    readonly endOfTurn = (callback: () => void): void => {
      this.turn = callback;
    };

    fire(afterMs: number): void {
      this.nowMs += afterMs;
      this.timer?.();
    }

    endTurn(): void {
      const { turn } = this;
      this.turn = undefined;
      turn?.();
    }
  }

  test("one for each timer, behind the input that waits; a late one counts once, a very late one not at all", () => {
    const clock = new HandClock();
    let ticks = 0;
    const running = startTicks(clock, { tickMs: 50, pauseMs: 250 }, () => ticks++);
    clock.fire(50);
    expect(ticks).toBe(0);
    clock.endTurn();
    expect(ticks).toBe(1);
    clock.fire(250);
    clock.endTurn();
    expect([ticks, running.pauses()]).toEqual([2, 0]);
    clock.fire(5_000);
    clock.endTurn();
    expect([ticks, running.pauses()]).toEqual([2, 1]);
    clock.fire(50);
    clock.endTurn();
    expect([ticks, running.pauses()]).toEqual([3, 1]);
    clock.fire(50);
    running.stop();
    clock.endTurn();
    expect([ticks, clock.timer]).toEqual([3, undefined]);
  });
});

test("sizes of the log are those of its entries, whatever is appended, cut, trimmed and begun anew", () => {
  const actions = fc.array(fc.tuple(fc.constantFrom("append", "cut", "trim", "restart"), fc.nat(5)), { maxLength: 80 });
  const property = fc.property(actions, (list) => {
    let start = 0;
    let entries: Entry[] = [];
    const sizes = new LogSizes(0, []);
    const empty = new LogSizes(0, [entryOf(1, 0)]).bytes;
    for (const [action, number] of list) {
      const last = start + entries.length;
      if (action === "append") {
        const added = Array.from({ length: number }, (_, i) => entryOf(last + 1 + i, number * 3 + i));
        sizes.append(added);
        entries.push(...added);
      } else if (action === "cut") {
        const from = Math.max(start + 1, last + 1 - number);
        sizes.truncateFrom(from);
        entries = entries.filter(({ index }) => index < from);
      } else {
        const upTo = action === "trim" ? Math.min(last, start + number) : last + number;
        if (action === "trim") sizes.trim(upTo);
        else sizes.restart(upTo);
        entries = entries.filter(({ index }) => index > upTo);
        start = upTo;
      }
      const data = entries.reduce((sum, entry) => sum + (entry.kind === "record" ? entry.data.length : 0), 0);
      expect(sizes.bytes).toBe(data + entries.length * empty);
    }
  });
  fc.assert(property, { seed: 1 });
});

function entryOf(index: number, bytes: number): Entry {
  return { index: index as LogIndex, term: term(1), kind: "record", data: new Uint8Array(bytes) };
}

test("what a group takes has to fit the frames of the write-ahead log: else the engine does not open", async () => {
  for (const settings of [{ appendBytesMax: 192 * 1024 }, { persistBytesMax: 192 * 1024 }]) {
    await expect(TestCell.open({ seed: 4, settings })).rejects.toThrow(
      /196608 needs frames of \d+, the log's are 196608/,
    );
  }
  const core = { messageBytesMax: 192 * 1024 };
  await expect(TestCell.open({ seed: 4, core })).rejects.toThrow(/messageBytesMax 196608 needs frames/);
});
