/** Appends and tails of a consensus group on any member: forwarding, changes of the leader, isolation. */
import type { LogIndex, Term } from "@quipu/consensus";
import { lsn, QuipuError, SeededRandom } from "@quipu/core";
import type { GroupEngine } from "@quipu/protocol";
import { describe, expect, test } from "vitest";
import { Appends } from "../src/engines/group/appends.ts";
import type { Delivery } from "../src/engines/group/delivery.ts";
import type { Answer, GroupHost } from "../src/engines/group/group-host.ts";
import { groupSettings } from "../src/engines/group/settings.ts";
import { at, bothEngines, bytesOf, type CellOptions, Reading, TestCell } from "./group-harness.ts";

const outcome = (append: Promise<unknown>): Promise<string> =>
  append.then(
    () => "ok",
    (error: unknown) => (error instanceof QuipuError ? `${error.code} ${error.outcome}` : String(error)),
  );

/** Every acknowledged text stands once, in the order of the calls; a refused one nowhere. */
function check(texts: readonly string[], outcomes: ReadonlyMap<string, string>): void {
  for (const [text, end] of outcomes) {
    const times = texts.filter((one) => one === text).length;
    if (end === "ok") expect(times, `${text} was acknowledged`).toBe(1);
    else if (end.endsWith("definite")) expect(times, `${text}: ${end}`).toBe(0);
    else expect(times, `${text}: ${end}`).toBeLessThanOrEqual(1);
  }
  const order = [...outcomes.keys()].filter((text) => texts.includes(text));
  expect(texts.filter((text) => outcomes.has(text))).toEqual(order);
}

async function openAt(options: CellOptions): Promise<TestCell> {
  const cell = await TestCell.open(options);
  await cell.untilLeader();
  return cell;
}

/** Appends `count` records at `member` as fast as it takes them, with time passing between. */
async function appendMany(
  cell: TestCell,
  member: number,
  count: number,
  between: (i: number) => Promise<void>,
): Promise<Map<string, string>> {
  const { log } = cell.node(member as never);
  const ends: [string, Promise<string>][] = [];
  for (let i = 0; i < count; i++) {
    const text = `${member}-${i}`;
    ends.push([text, outcome(log.append([bytesOf(text)]))]);
    await between(i);
  }
  const outcomes = new Map<string, string>();
  for (const [text, end] of ends) outcomes.set(text, await cell.until(end));
  return outcomes;
}

describe.each(bothEngines)("%s:", (engine) => {
  describe("forwarding", () => {
    test.each([1, 2, 3, 4])(
      "loss, repetition and reordering change neither order nor number (seed %i)",
      async (seed) => {
        const cell = await openAt({ engine, seed, lossPercent: 10, repeatPercent: 20, delayMsMax: 40 });
        const member = cell.follower();
        const reading = new Reading(cell.node(member).log);
        const outcomes = await appendMany(cell, member, 150, () => cell.step());
        check(reading.all, outcomes);
        expect([...outcomes.values()].filter((end) => end === "ok").length).toBeGreaterThan(100);
      },
    );

    test("without loss every append of every member is acknowledged, and all read the same", async () => {
      const cell = await openAt({ engine, seed: 5, delayMsMax: 10, repeatPercent: 30 });
      const readings = [...cell.nodes.values()].map(({ log }) => new Reading(log));
      const all = await Promise.all(
        [...cell.nodes.keys()]
          .map((member) =>
            Promise.all(
              Array.from({ length: 100 }, (_, i) => outcome(cell.node(member).log.append([bytesOf(`${member}-${i}`)]))),
            ),
          )
          .map((ends) => cell.until(ends)),
      );
      expect(new Set(all.flat())).toEqual(new Set(["ok"]));
      await cell.forMs(500);
      for (const { all: texts } of readings) {
        expect(texts).toEqual(readings[0]?.all);
        expect(texts.length).toBe(300);
      }
    });

    test("no leader: appends wait a bounded time, then are surely not taken", async () => {
      const cell = await openAt({ engine, seed: 6 });
      const member = cell.follower();
      for (const other of [...cell.nodes.keys()]) if (other !== member) cell.crash(other);
      await cell.until(() => cell.group(member).inspect().leader === undefined);
      const end = outcome(cell.node(member).log.append([bytesOf("x")]));
      expect(await cell.until(end)).toBe("OVERLOADED definite");
    });

    test("what is beyond the limits is refused at once", async () => {
      const cell = await openAt({ engine, seed: 7, settings: { appendsMax: 3 } });
      const { log } = cell.node(cell.follower());
      const ends = [1, 2, 3, 4].map((i) => outcome(log.append([bytesOf(`${i}`)])));
      expect(await cell.until(Promise.all(ends))).toEqual(["ok", "ok", "ok", "OVERLOADED definite"]);
      expect(await outcome(log.append([new Uint8Array(70_000)]))).toBe("VALUE_TOO_LARGE definite");
    });
  });

  describe("changes of the leader with appends under way", () => {
    test.each([11, 12, 13, 14, 15, 16])("isolation and crashes (seed %i)", async (seed) => {
      const cell = await openAt({ engine, seed, lossPercent: 3, repeatPercent: 10, delayMsMax: 15 });
      const { member } = cell.node(cell.follower());
      const outcomes = await appendMany(cell, member, 120, async (i) => {
        await cell.step();
        const leader = cell.leader();
        if (i === 40 && leader !== undefined && leader !== member) cell.isolate(leader);
        if (i === 70) {
          await cell.untilLeader();
          cell.heal();
        }
        if (i === 90 && leader !== undefined) cell.group(leader).transferLeadership(member);
      });
      cell.heal();
      await cell.untilLeader();
      const tail = await cell.until(cell.node(member).log.tail());
      const reading = new Reading(cell.node(member).log);
      await cell.until(() => Math.max(0, ...reading.texts.keys()) >= tail.tail - 1);
      check(reading.all, outcomes);
      await cell.forMs(3000);
      for (const { log, fatal } of cell.nodes.values()) {
        const other = new Reading(log);
        await cell.forMs(50);
        expect(other.all).toEqual(reading.all);
        expect(fatal).toEqual([]);
      }
    });

    test("leadership that is handed over loses nothing, and the old leader's appends go on", async () => {
      const cell = await openAt({ engine, seed: 17, delayMsMax: 5 });
      const old = await cell.untilLeader();
      const next = cell.follower();
      const outcomes = await appendMany(cell, old, 60, async (i) => {
        if (i % 4 === 0) await cell.step();
        if (i === 20) cell.group(old).transferLeadership(next);
      });
      await cell.until(() => cell.leader() === next);
      const reading = new Reading(cell.node(old).log);
      await cell.forMs(1000);
      check(reading.all, outcomes);
      const ends = [...outcomes.values()];
      expect(ends.filter((end) => end === "ok").length).toBeGreaterThanOrEqual(50);
    });

    test("an append of a leader that was deposed is not acknowledged, and not in the log", async () => {
      const cell = await openAt({ engine, seed: 18 });
      const old = await cell.untilLeader();
      cell.isolate(old);
      const end = outcome(cell.node(old).log.append([bytesOf("lost")]));
      await cell.until(() => cell.leader() !== undefined && cell.leader() !== old);
      const leader = await cell.untilLeader();
      expect(await cell.until(outcome(cell.node(leader).log.append([bytesOf("kept")])))).toBe("ok");
      cell.heal();
      expect(await cell.until(end)).toBe("LOG_APPEND_UNKNOWN unknown");
      const reading = new Reading(cell.node(old).log);
      await cell.until(() => reading.all.length > 0);
      expect(reading.all).toEqual(["kept"]);
    });
  });

  describe("tail", () => {
    test("on an isolated member it never answers, and ends as a refusal", async () => {
      const cell = await openAt({ engine, seed: 21 });
      for (const member of [await cell.untilLeader(), cell.follower()]) {
        cell.isolate(member);
        expect(await cell.until(outcome(cell.node(member).log.tail()))).toBe("OVERLOADED definite");
        cell.heal();
        await cell.untilLeader();
        expect(await cell.until(outcome(cell.node(member).log.tail()))).toBe("ok");
      }
    });

    test.each([22, 23, 24])("covers what anybody was told is in the log, also under loss (seed %i)", async (seed) => {
      const cell = await openAt({ engine, seed, lossPercent: 5, repeatPercent: 10, delayMsMax: 20 });
      const members = [...cell.nodes.keys()];
      for (let i = 0; i < 30; i++) {
        const writer = members[i % 3] as (typeof members)[0];
        const reader = members[(i + 1) % 3] as (typeof members)[0];
        const { last } = await cell.until(cell.node(writer).log.append([bytesOf(`${i}`)]));
        const reading = new Reading(cell.node(reader).log);
        const { tail } = await cell.until(cell.node(reader).log.tail());
        expect(tail).toBeGreaterThan(last);
        await cell.step();
        expect(Math.max(...reading.texts.keys())).toBe(tail - 1);
      }
    });

    test("many callers are served by few barriers", async () => {
      const cell = await openAt({ engine, seed: 25 });
      const { log, hub } = cell.node(cell.follower());
      let barriers = 0;
      const send = hub.send.bind(hub);
      hub.send = (to, message) => {
        if (message.type === "barrier") barriers++;
        send(to, message);
      };
      await cell.until(Promise.all(Array.from({ length: 1000 }, () => log.tail())));
      expect(barriers).toBeLessThan(10);
    });
  });

  test("seal: on any member, beside appends, also with the leader gone; the tail is the same everywhere", async () => {
    const cell = await openAt({ engine, seed: 31, lossPercent: 5 });
    const old = await cell.untilLeader();
    const member = cell.follower();
    await cell.until(cell.node(member).log.append([bytesOf("a"), bytesOf("b")]));
    cell.isolate(old);
    await cell.until(cell.node(member).log.seal());
    cell.heal();
    const tails = [];
    for (const { log } of cell.nodes.values()) tails.push(await cell.until(log.tail()));
    expect(new Set(tails.map(({ tail }) => tail)).size).toBe(1);
    expect(tails.every(({ sealed }) => sealed)).toBe(true);
    expect(await cell.until(outcome(cell.node(old).log.append([bytesOf("c")])))).toBe("LOG_SEALED definite");
    expect(await cell.until(cell.node(old).log.tail())).toEqual({
      tail: lsn((tails[0]?.tail ?? 0) as number),
      sealed: true,
    });
  });
});

describe("an append of which another leader kept only a part", () => {
  const termOf = (value: number): Term => value as Term;

  /** Of three records, placed at 5..7 in term 3; what stands there in the end is of these terms. */
  async function settled(engine: GroupEngine, terms: readonly [number, number, number]): Promise<string> {
    const view = { role: "leader", term: termOf(3), leader: undefined } as const;
    const delivery = { delivered: 4, sealedAt: undefined as LogIndex | undefined };
    const host = {
      engine,
      settings: groupSettings,
      nowTicks: 0,
      leadership: view,
      random: new SeededRandom(1),
      run: (job: () => void) => job(),
      ask: (_input: unknown, onAnswer: (answer: Answer) => void) =>
        onAnswer({ type: "proposed", request: 1, term: view.term, first: at(5), last: at(7) }),
      entry: (index: number) => ({ index, term: termOf(terms[index - 5] ?? 0), kind: "noop" }),
    };
    const appends = new Appends(host as unknown as GroupHost, delivery as unknown as Delivery);
    const end = outcome(appends.append([bytesOf("a"), bytesOf("b"), bytesOf("c")]));
    delivery.delivered = 7;
    appends.onDelivered();
    return end;
  }

  test("is not acknowledged: in Multi-Paxos each slot is chosen by itself", async () => {
    for (const terms of [
      [4, 3, 3],
      [3, 4, 3],
      [3, 3, 4],
    ] as const) {
      expect(await settled("multi-paxos", terms)).toBe("LOG_APPEND_UNKNOWN unknown");
    }
    expect(await settled("multi-paxos", [3, 3, 3])).toBe("ok");
    expect(await settled("raft", [3, 3, 4])).toBe("LOG_APPEND_UNKNOWN unknown");
    expect(await settled("raft", [3, 3, 3])).toBe("ok");
  });
});
