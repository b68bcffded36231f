/**
 * The conformance suite: every engine, real servers included, passes it or is no engine.
 * Each test is named by the sentence of the contract (loglet.ts) that it tries to break.
 */
import { lsn, type Lsn } from "@quipu/core";
import { describe, expect, test } from "vitest";
import type { Appended, LogDelivery, LogReplication, Subscription, Tail } from "../loglet.ts";

/** What loglets and virtual logs have in common. */
export interface LogUnderTest {
  append(records: readonly Uint8Array[]): Promise<Appended>;
  tail(): Promise<Tail>;
  tailNow?(): Tail | undefined;
  read(from: Lsn, onDelivery: (delivery: LogDelivery) => void): Subscription;
  trim(upTo: Lsn): Promise<void>;
  /** Absent: a virtual log, which is never sealed. */
  seal?(): Promise<void>;
  /** A loglet has it, or a virtual log gives it; absent where the log is on one node. */
  readonly replication?: LogReplication | (() => LogReplication | undefined);
}

export interface ConformanceSubject {
  readonly log: LogUnderTest;
  /** Crash and open the same log again; absent where nothing outlives the process. */
  readonly reopen?: () => Promise<LogUnderTest>;
  readonly close: () => Promise<void>;
}

const record = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Everything a reader was given, and a way to wait for more without a clock. */
class Collector {
  readonly records: Map<Lsn, string> = new Map();
  readonly gaps: Lsn[] = [];
  readonly #subscription: Subscription;
  #last = 0;
  #waiting: { readonly upTo: number; readonly resolve: () => void }[] = [];

  constructor(log: LogUnderTest, from: number) {
    let returned = false;
    this.#subscription = log.read(lsn(from), (delivery) => {
      expect(returned, "a delivery before read returned").toBe(true);
      this.#take(delivery);
    });
    returned = true;
  }

  get texts(): readonly string[] {
    return [...this.records.values()];
  }

  /** Resolves when position `upTo` or a later one was delivered, or fell into a gap. */
  until(upTo: number): Promise<void> {
    if (this.#last >= upTo) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ upTo, resolve }));
  }

  close(): void {
    this.#subscription.close();
  }

  #take(delivery: LogDelivery): void {
    if (delivery.type === "gap") {
      expect(delivery.trimmedUpTo).toBeGreaterThan(this.#last);
      this.gaps.push(delivery.trimmedUpTo);
      this.#last = delivery.trimmedUpTo;
    } else {
      expect(delivery.records.length).toBeGreaterThan(0);
      delivery.records.forEach((bytes, i) => {
        const position = lsn(delivery.first + i);
        expect(position, "positions grow").toBeGreaterThan(this.#last);
        this.records.set(position, textOf(bytes));
        this.#last = position;
      });
    }
    this.#waiting = this.#waiting.filter(({ upTo, resolve }) => {
      if (upTo <= this.#last) resolve();
      return upTo > this.#last;
    });
  }
}

/** Everything in the log from the start to its present tail. */
async function contents(log: LogUnderTest): Promise<Collector> {
  const { tail } = await log.tail();
  const collector = new Collector(log, 1);
  await collector.until(tail - 1);
  collector.close();
  return collector;
}

/** Lets everything that is ready run, without a clock. */
async function settle(): Promise<void> {
  for (let i = 0; i < 100; i++) await Promise.resolve();
}

/** Defines the suite for one engine. `makeSubject` gives an empty log each time. */
export function logletConformance(name: string, makeSubject: () => Promise<ConformanceSubject>): void {
  const withLog = async (body: (log: LogUnderTest, subject: ConformanceSubject) => Promise<void>): Promise<void> => {
    const subject = await makeSubject();
    try {
      await body(subject.log, subject);
    } finally {
      await subject.close();
    }
  };
  describe(`loglet contract: ${name}`, () => {
    appendAndRead(withLog);
    readers(withLog);
    trimming(withLog);
    durability(withLog);
    sealing(withLog);
    replication(withLog);
  });
}

type WithLog = (body: (log: LogUnderTest, subject: ConformanceSubject) => Promise<void>) => Promise<void>;

function appendAndRead(withLog: WithLog): void {
  test("an empty log has its tail at 1 and is not sealed", () =>
    withLog(async (log) => {
      expect(await log.tail()).toEqual({ tail: 1, sealed: false });
    }));

  test("records of one append lie next to each other, and a tail covers every append acknowledged before", () =>
    withLog(async (log) => {
      for (let i = 0; i < 20; i++) {
        const { first, last } = await log.append([record(`${i}a`), record(`${i}b`), record(`${i}c`)]);
        expect(last).toBe(first + 2);
        expect((await log.tail()).tail).toBeGreaterThan(last);
        const now = log.tailNow?.();
        if (now !== undefined) expect(now.tail).toBeGreaterThan(last);
      }
      const { texts } = await contents(log);
      expect(texts).toEqual(Array.from({ length: 20 }, (_, i) => [`${i}a`, `${i}b`, `${i}c`]).flat());
    }));

  test("pipelined appends take effect in call order", () =>
    withLog(async (log) => {
      const appends = Array.from({ length: 200 }, (_, i) => log.append([record(`${i}`)]));
      const positions = (await Promise.all(appends)).map(({ first }) => first);
      expect(positions).toEqual(positions.toSorted((left, right) => left - right));
      expect(new Set(positions).size).toBe(200);
      const { texts } = await contents(log);
      expect(texts).toEqual(Array.from({ length: 200 }, (_, i) => `${i}`));
    }));

  test("empty records, and records of all sizes and all zero bytes, come back as they were", () =>
    withLog(async (log) => {
      const records = [0, 1, 511, 512, 513, 4096, 20_000].map((size) => new Uint8Array(size));
      const { first, last } = await log.append(records);
      const back: Uint8Array[] = [];
      await new Promise<void>((resolve) => {
        log.read(first, (delivery) => {
          if (delivery.type === "records") back.push(...delivery.records);
          if (back.length === last - first + 1) resolve();
        });
      });
      expect(back.map((bytes) => bytes.length)).toEqual(records.map((bytes) => bytes.length));
      expect(back.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true);
    }));
}

function readers(withLog: WithLog): void {
  test("a live reader has an append before its promise resolves, and is then at the tail", () =>
    withLog(async (log) => {
      const collector = new Collector(log, 1);
      await settle();
      for (let i = 0; i < 10; i++) {
        const { last } = await log.append([record("x"), record("y")]);
        expect(collector.records.has(last)).toBe(true);
        const now = log.tailNow?.();
        if (now !== undefined) expect(now.tail).toBe(last + 1);
      }
      collector.close();
    }));

  test("readers are independent: from the start, from the middle, from above the tail, one closed early", () =>
    withLog(async (log) => {
      const { first } = await log.append([record("a"), record("b")]);
      const all = new Collector(log, 1);
      const middle = new Collector(log, first + 1);
      const above = new Collector(log, first + 3);
      const early = new Collector(log, 1);
      early.close();
      early.close();
      const { last } = await log.append([record("c"), record("d")]);
      await Promise.all([all.until(last), middle.until(last), above.until(last)]);
      expect(all.texts).toEqual(["a", "b", "c", "d"]);
      expect(middle.texts).toEqual(["b", "c", "d"]);
      expect(above.texts).toEqual(["d"]);
      expect(early.texts).toEqual([]);
    }));

  test("no delivery after close, also if closed from inside a delivery", () =>
    withLog(async (log) => {
      const seen: LogDelivery[] = [];
      const subscription = log.read(lsn(1), (delivery) => {
        seen.push(delivery);
        subscription.close();
      });
      await log.append([record("a")]);
      await log.append([record("b")]);
      await settle();
      expect(seen.length).toBeLessThanOrEqual(1);
    }));

  test("a reader that starts while appends go on misses none and sees none twice", () =>
    withLog(async (log) => {
      const collectors: Collector[] = [];
      let last = 0;
      for (let i = 0; i < 50; i++) {
        const append = log.append([record(`${i}`)]);
        collectors.push(new Collector(log, 1));
        ({ last } = await append);
      }
      const expected = Array.from({ length: 50 }, (_, i) => `${i}`);
      for (const collector of collectors) {
        await collector.until(last);
        expect(collector.texts).toEqual(expected);
        collector.close();
      }
    }));
}

function trimming(withLog: WithLog): void {
  test("trim is idempotent and monotone; a reader of trimmed positions gets a gap and all that is above", () =>
    withLog(async (log) => {
      const positions: Lsn[] = [];
      for (let i = 0; i < 10; i++) positions.push((await log.append([record(`${i}`)])).first);
      const upTo = positions[5] ?? lsn(0);
      await log.trim(upTo);
      await log.trim(upTo);
      await log.trim(positions[2] ?? lsn(0));
      const { records, gaps } = await contents(log);
      for (const gap of gaps) expect(gap).toBeLessThanOrEqual(upTo);
      const kept = positions.slice(6);
      expect(kept.map((position) => records.get(position))).toEqual(["6", "7", "8", "9"]);
      // What was trimmed is either in the gap or still delivered, in order.
      expect(positions.every((position) => records.has(position) || position <= (gaps.at(-1) ?? 0))).toBe(true);
      const { first } = await log.append([record("10")]);
      expect(first).toBeGreaterThan(kept.at(-1) ?? 0);
    }));

  test("trim up to the tail leaves a log that goes on", () =>
    withLog(async (log) => {
      const { last } = await log.append([record("a"), record("b")]);
      await log.trim(last);
      const { tail } = await log.tail();
      expect(tail).toBeGreaterThan(last);
      const collector = new Collector(log, 1);
      const { first } = await log.append([record("c")]);
      await collector.until(first);
      expect(collector.texts.at(-1)).toBe("c");
      collector.close();
    }));
}

function durability(withLog: WithLog): void {
  test("what is acknowledged survives a crash, at the same positions; what is trimmed does not come back", () =>
    withLog(async (log, { reopen }) => {
      if (reopen === undefined) return;
      const positions: Lsn[] = [];
      for (let i = 0; i < 30; i++) positions.push((await log.append([record(`${i}`)])).first);
      await log.trim(positions[9] ?? lsn(0));
      void log.append([record("in flight")]).catch(() => undefined);
      const again = await reopen();
      const { records } = await contents(again);
      expect(positions.slice(10).map((position) => records.get(position))).toEqual(
        Array.from({ length: 20 }, (_, i) => `${i + 10}`),
      );
      const { first } = await again.append([record("after")]);
      expect(first).toBeGreaterThan(positions.at(-1) ?? 0);
      expect((await contents(again)).records.get(first)).toBe("after");
    }));

  test("a sealed log is still sealed after a crash, at the same tail", () =>
    withLog(async (log, { reopen }) => {
      if (reopen === undefined || log.seal === undefined) return;
      await log.append([record("a")]);
      await log.seal();
      const before = await log.tail();
      const again = await reopen();
      expect(await again.tail()).toEqual(before);
      await expect(again.append([record("b")])).rejects.toMatchObject({ code: "LOG_SEALED" });
    }));
}

function sealing(withLog: WithLog): void {
  test("seal is idempotent, also beside itself; appends after it are definitely refused", () =>
    withLog(async (log) => {
      if (log.seal === undefined) return;
      const { last } = await log.append([record("a")]);
      await Promise.all([log.seal(), log.seal()]);
      await log.seal();
      const tail = await log.tail();
      expect(tail.sealed).toBe(true);
      expect(tail.tail).toBeGreaterThan(last);
      await expect(log.append([record("b")])).rejects.toMatchObject({ code: "LOG_SEALED", outcome: "definite" });
      expect(await log.tail()).toEqual(tail);
    }));

  test("an empty log can be sealed", () =>
    withLog(async (log) => {
      if (log.seal === undefined) return;
      await log.seal();
      expect(await log.tail()).toEqual({ tail: 1, sealed: true });
    }));

  test("a seal races with appends: acknowledged ones are below the final tail, refused ones nowhere", () =>
    withLog(async (log) => {
      if (log.seal === undefined) return;
      const reader = new Collector(log, 1);
      const outcomes = new Map<string, Promise<Appended | string>>();
      const add = (text: string): void => {
        const outcome = log.append([record(text)]).catch((error: { readonly code: string }) => error.code);
        outcomes.set(text, outcome);
      };
      for (let i = 0; i < 20; i++) add(`before ${i}`);
      const seals = [log.seal()];
      for (let i = 0; i < 20; i++) {
        add(`beside ${i}`);
        if (i % 5 === 0) await Promise.resolve();
      }
      seals.push(log.seal());
      await Promise.all(seals);
      const final = await log.tail();
      expect(final.sealed).toBe(true);
      const { records } = await contents(log);
      await reader.until(Math.max(0, ...records.keys()));
      for (const [text, outcome] of outcomes) checkOutcome(text, await outcome, final.tail, records);
      await settle();
      expect(await log.tail()).toEqual(final);
      expect([...reader.records]).toEqual([...records]);
      reader.close();
    }));
}

function replicationOf(log: LogUnderTest): LogReplication | undefined {
  return typeof log.replication === "function" ? log.replication() : log.replication;
}

function replication(withLog: WithLog): void {
  test("a replicated log says how it goes on above what was delivered, and of nothing above that", () =>
    withLog(async (log) => {
      const replicated = replicationOf(log);
      if (replicated === undefined) return;
      for (let i = 0; i < 5; i++) await log.append([record(`${i}`)]);
      const { tail } = await log.tail();
      const reader = new Collector(log, 1);
      await reader.until(tail - 1);
      expect(replicated.startAt(lsn(tail - 1))).toBeInstanceOf(Uint8Array);
      expect(replicated.startAt(lsn(tail + 1000))).toBeUndefined();
      reader.close();
    }));

  test("a state that the log reaches already is installed without a gap; bytes that say nothing are refused", () =>
    withLog(async (log) => {
      const replicated = replicationOf(log);
      if (replicated === undefined) return;
      for (let i = 0; i < 5; i++) await log.append([record(`${i}`)]);
      const { tail } = await log.tail();
      const reader = new Collector(log, 1);
      await reader.until(tail - 1);
      const start = replicated.startAt(lsn(tail - 1)) ?? new Uint8Array(0);
      await replicated.installed(start);
      await expect(replicated.installed(Uint8Array.of(0xff, 1, 2))).rejects.toMatchObject({ code: "LOG_CORRUPT" });
      const { first } = await log.append([record("after")]);
      await reader.until(first);
      expect(reader.texts).toEqual(["0", "1", "2", "3", "4", "after"]);
      expect(reader.gaps).toEqual([]);
      reader.close();
    }));

  test("whoever has read everything is right below the tail, also where positions have holes", () =>
    withLog(async (log) => {
      const reader = new Collector(log, 1);
      for (let i = 0; i < 5; i++) await log.append([record(`${i}`)]);
      const { tail } = await log.tail();
      await reader.until(tail - 1);
      expect(Math.max(...reader.records.keys())).toBe(tail - 1);
      reader.close();
    }));
}

function checkOutcome(
  text: string,
  outcome: Appended | string,
  finalTail: Lsn,
  records: ReadonlyMap<Lsn, string>,
): void {
  const found = [...records].filter(([, stored]) => stored === text).map(([position]) => position);
  for (const position of found) expect(position).toBeLessThan(finalTail);
  if (typeof outcome === "object") {
    expect(found, `${text} was acknowledged`).toEqual([outcome.first]);
  } else if (outcome === "LOG_SEALED") {
    expect(found, `${text} was refused`).toEqual([]);
  } else {
    expect(["LOG_APPEND_UNKNOWN", "DISK_FAILED"]).toContain(outcome);
    expect(found.length).toBeLessThanOrEqual(1);
  }
}
