/** The engines of a node as a whole: groups that come and go, their clock, a damaged disk, a reader that is broken. */
import { type Entry, foundingConfiguration, type LogIndex, type MemberId, term } from "@quipu/consensus";
import { lsn } from "@quipu/core";
import { encodeGroupState } from "@quipu/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LogSizes } from "../src/engines/group/log-sizes.ts";
import { startTicks } from "../src/engines/group/ticks.ts";
import { decodeGroupParameters, encodeGroupParameters, type GroupWrite, type Loglet } from "../src/mod.ts";
import { bytesOf, Reading, TestCell } from "./group-harness.ts";

const first = (cell: TestCell): string => encodeGroupParameters({ group: 1, members: cell.founders });

describe("groups", () => {
  test("several, of both engines, on one write-ahead log and one hub go on beside each other, and come back after a restart", async () => {
    const cell = await TestCell.open({ seed: 1 });
    await cell.untilLeader();
    const parameters = encodeGroupParameters({ group: 2, members: cell.founders });
    const second = new Map<MemberId, Loglet>();
    for (const member of cell.founders) second.set(member, await cell.openGroup(member, "multi-paxos", parameters));
    const member = cell.follower();
    for (let i = 0; i < 5; i++) {
      await cell.until(cell.node(member).log.append([bytesOf(`first ${i}`)]));
      await cell.until((second.get(member) as Loglet).append([bytesOf(`second ${i}`)]));
    }
    expect(
      cell
        .node(member)
        .engines.groups()
        .map(({ group }) => group),
    ).toEqual([1, 2]);
    const { engines } = await cell.restart(member);
    expect(engines.made()).toEqual([1, 2]);
    const again = await cell.openGroup(member, "multi-paxos", parameters);
    const readings = [new Reading(cell.node(member).log), new Reading(again)];
    await cell.until(() => readings.every(({ all }) => all.length === 5));
    expect(readings.map(({ all }) => all.at(-1))).toEqual(["first 4", "second 4"]);
  });

  test("opened twice it is one loglet; closed and opened again it has what was there", async () => {
    const cell = await TestCell.open({ seed: 2 });
    const member = await cell.untilLeader();
    const { log } = cell.node(member);
    expect(await cell.openGroup(member, "raft", first(cell))).toBe(log);
    await cell.until(log.append([bytesOf("a")]));
    const underWay = log.append([bytesOf("b")]).catch(() => undefined);
    await log.close();
    await underWay;
    const again = await cell.openGroup(member, "raft", first(cell));
    expect(again).not.toBe(log);
    const reading = new Reading(again);
    await cell.until(() => reading.all.includes("a"));
  });

  test("a group that is given back is gone; its number is not opened again", async () => {
    const cell = await TestCell.open({ seed: 2 });
    const member = await cell.untilLeader();
    const { engines } = cell.node(member);
    const parameters = encodeGroupParameters({ group: 2, members: cell.founders });
    await cell.openGroup(member, "raft", parameters);
    expect(engines.made()).toEqual([1, 2]);
    await cell.until(engines.raft.discard(parameters));
    await cell.until(engines.raft.discard(parameters));
    await cell.until(engines.discardGroup(2));
    expect(engines.made()).toEqual([1]);
    await expect(engines.raft.open(parameters)).rejects.toThrow("was given back");
  });

  test("parameters that do not decode are refused with LOG_CORRUPT", async () => {
    const cell = await TestCell.open({ seed: 2 });
    const { engines } = cell.node(cell.follower());
    const texts = [
      "",
      "7",
      "null",
      "{}",
      '{"group":0,"members":[1]}',
      '{"group":1.5,"members":[1]}',
      '{"group":4294967296,"members":[1]}',
      '{"group":7}',
      '{"group":7,"members":{}}',
      '{"group":7,"members":[0]}',
      '{"group":7,"members":["1"]}',
      '{"group":7,"members":[2,1]}',
      '{"group":7,"members":[1,1]}',
      '{"group":7,"members":[1],"after":-1}',
      JSON.stringify({ group: 7, members: Array.from({ length: 33 }, (_, i) => i + 1) }),
    ];
    for (const text of texts) {
      expect(() => decodeGroupParameters(text), text).toThrow(
        expect.objectContaining({ code: "LOG_CORRUPT" }) as Error,
      );
      await expect(engines.raft.open(text)).rejects.toMatchObject({ code: "LOG_CORRUPT" });
    }
    const full = { group: 7, members: cell.founders, after: 9 as LogIndex };
    expect(decodeGroupParameters(encodeGroupParameters(full))).toEqual(full);
    expect(encodeGroupParameters({ group: 7, members: cell.founders })).toBe('{"group":7,"members":[1,2,3]}');
  });

  test("closed: nothing is taken any more, what was under way ends, a start later finds everything", async () => {
    const cell = await TestCell.open({ seed: 3 });
    const { member, engines, log } = cell.node(cell.follower());
    await cell.until(log.append([bytesOf("a")]));
    const reading = new Reading(log);
    const underWay = log.append([bytesOf("b")]).catch((error: unknown) => error);
    await engines.close();
    expect(await underWay).toMatchObject({ code: "SHUTTING_DOWN" });
    for (const refused of [log.append([bytesOf("c")]), log.tail(), log.seal()]) {
      await expect(refused).rejects.toMatchObject({ code: "SHUTTING_DOWN", outcome: "definite" });
    }
    await cell.forMs(500);
    expect(reading.all).toEqual([]);
    expect(engines.groups()).toEqual([]);
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
  const { engines, wal } = cell.node(cell.follower());
  const written = (group: number, write: GroupWrite): Promise<void> =>
    cell.until(new Promise((resolve) => wal.write(group, write, () => resolve())));
  const opened = (group: number): Promise<unknown> =>
    cell.until(engines.raft.open(encodeGroupParameters({ group, members: cell.founders })));
  const good = wal.hardState(1) as Uint8Array;
  await written(3, { hardState: Uint8Array.of(9, 9, 9) });
  await expect(opened(3)).rejects.toMatchObject(corrupt);
  await written(4, { hardState: good, records: [Uint8Array.of(77)] });
  await expect(opened(4)).rejects.toMatchObject(corrupt);
  await written(5, { hardState: good, restartAt: 8 });
  await expect(opened(5)).rejects.toMatchObject(corrupt);
  const start = { index: 0 as LogIndex, term: term(0), configuration: foundingConfiguration(cell.founders) };
  const others = encodeGroupState({ engine: "multi-paxos", hardState: { term: term(0), vote: undefined }, start });
  await written(6, { hardState: others });
  await expect(opened(6)).rejects.toMatchObject(corrupt);
  await written(7, { hardState: others, records: [Uint8Array.of(77)] });
  const paxos = engines.multiPaxos.open(encodeGroupParameters({ group: 7, members: cell.founders }));
  await expect(cell.until(paxos)).rejects.toMatchObject(corrupt);
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

test("sizes of slots that come in any order, and again, are those of what stands there", () => {
  const slots = fc.array(fc.tuple(fc.constantFrom("put", "cut", "trim"), fc.nat(12), fc.nat(9)), { maxLength: 60 });
  const property = fc.property(slots, (list) => {
    const sizes = new LogSizes(0, [], true);
    const empty = new LogSizes(0, [entryOf(1, 0)]).bytes;
    const held = new Map<number, number>();
    let start = 0;
    for (const [action, number, bytes] of list) {
      const slot = start + 1 + number;
      if (action === "put") {
        sizes.append([entryOf(slot, bytes)]);
        held.set(slot, bytes);
      } else if (action === "cut") {
        sizes.truncateFrom(slot);
        for (const other of held.keys()) if (other >= slot) held.delete(other);
      } else if (held.has(start + 1)) {
        start++;
        sizes.trim(start);
        held.delete(start);
      }
      expect(sizes.bytes).toBe([...held.values()].reduce((sum, size) => sum + size + empty, 0));
    }
  });
  fc.assert(property, { seed: 1 });
  expect(() => new LogSizes(0, [entryOf(2, 0)])).toThrow("where 1 is next");
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
