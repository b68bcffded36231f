/**
 * The conformance suite of the port that external engines stand on: every service passes it, or the driver above does not
 * hold. Each test is named by the sentence of the port (engines/external/service.ts) that it tries to break.
 */
import { invariant, lsn, QuipuError } from "@quipu/core";
import { describe, expect, test } from "vitest";
import type { ExternalLog, ExternalService, LogHead } from "../engines/external/service.ts";
import { bytes, isEqual, large, text, type WithClients } from "./external-clients.ts";
import { blobs, registers } from "./external-values-conformance.ts";

/** One prefix with nothing below it. */
export interface ExternalServiceSubject {
  /** Another client of it each time. */
  readonly open: () => Promise<ExternalService>;
  /** After the clients were closed. */
  readonly close: () => Promise<void>;
  /** A model whose closed client is a dead node: what it is asked is never answered. */
  readonly isSilentWhenClosed?: boolean;
}

const texts = (values: readonly Uint8Array[]): readonly (string | undefined)[] => values.map(text);

async function openNew(service: ExternalService, log: string): Promise<ExternalLog> {
  await service.createLog(log);
  return service.openLog(log);
}

/** Appends each text as a batch that holds one position, on the head of the moment. Nobody else may append. */
async function append(log: ExternalLog, ...batches: readonly string[]): Promise<LogHead> {
  let head = await log.head();
  for (const batch of batches) {
    const next = await log.append(head, bytes(batch), lsn(head.tail + 1));
    invariant(next !== undefined, `batch ${head.nextBatch} was not taken`);
    head = next;
  }
  return head;
}

/** Every batch from `from` to the end. */
async function readAll(log: ExternalLog, from: number, bytesMax: number = 1_000): Promise<readonly Uint8Array[]> {
  const found: Uint8Array[] = [];
  for (;;) {
    const more = await log.read(from + found.length, bytesMax);
    if (more.length === 0) return found;
    found.push(...more);
  }
}

const emptyHead = { nextBatch: 1, tail: 1, firstBatch: 1, trimmedUpTo: 0, sealed: false, wearsOut: false };

/** Defines the suite for one service. */
export function externalServiceConformance(name: string, makeSubject: () => Promise<ExternalServiceSubject>): void {
  const withClients: WithClients = async (body) => {
    const subject = await makeSubject();
    const one = await subject.open();
    const other = await subject.open();
    try {
      await body({ one, other, isSilentWhenClosed: subject.isSilentWhenClosed ?? false });
    } finally {
      await Promise.all([one.close(), other.close()]);
      await subject.close();
    }
  };
  describe(`port of external engines: ${name}`, () => {
    lives(withClients);
    appends(withClients);
    reads(withClients);
    seals(withClients);
    trims(withClients);
    watches(withClients);
    registers(withClients);
    blobs(withClients);
  });
}

function lives(withClients: WithClients): void {
  test("createLog makes an empty log; openLog finds it, from another client, too", () =>
    withClients(async ({ one, other }) => {
      await one.createLog("a");
      expect(await (await one.openLog("a")).head()).toMatchObject(emptyHead);
      expect(await (await other.openLog("a")).head()).toMatchObject(emptyHead);
    }));

  test("createLog is idempotent: what is in the log stays, and of several at once each succeeds", () =>
    withClients(async ({ one, other }) => {
      await Promise.all([one.createLog("a"), other.createLog("a"), one.createLog("a")]);
      const log = await one.openLog("a");
      const head = await append(log, "x", "y");
      await other.createLog("a");
      expect(await log.head()).toEqual(head);
      expect(texts(await readAll(log, 1))).toEqual(["x", "y"]);
    }));

  test("openLog rejects with LOG_CORRUPT where there is none, and the error names service and log", () =>
    withClients(async ({ one }) => {
      await expect(one.openLog("nowhere")).rejects.toMatchObject({ name: "QuipuError", code: "LOG_CORRUPT" });
      await expect(one.openLog("nowhere")).rejects.toThrow(/nowhere/);
      await expect(one.openLog("nowhere")).rejects.toThrow(new RegExp(one.engine));
    }));

  test("removeLog removes every key of the log, and no other: batches, trimmed and sealed logs, logs whose names begin alike", () =>
    withClients(async ({ one, other }) => {
      await append(await openNew(one, "a"), ...Array.from({ length: 150 }, (_, i) => `${i}`));
      await (await one.openLog("a")).trim(120, lsn(119));
      await append(await openNew(one, "ab"), "stays");
      await (await openNew(one, "sealed")).seal();
      await one.registers.compareAndSet("a", 0, bytes("register"));
      await one.blobs.put("a/1", bytes("blob"));
      for (const log of ["a", "sealed"]) {
        await one.removeLog(log);
        await expect(one.openLog(log)).rejects.toMatchObject({ code: "LOG_CORRUPT" });
        await expect(other.openLog(log)).rejects.toMatchObject({ code: "LOG_CORRUPT" });
      }
      expect(texts(await readAll(await other.openLog("ab"), 1))).toEqual(["stays"]);
      expect(text((await one.registers.get("a"))?.value)).toBe("register");
      expect(text(await one.blobs.get("a/1"))).toBe("blob");
      // A new one of the name has nothing of the old one.
      const again = await openNew(one, "a");
      expect(await again.head()).toMatchObject(emptyHead);
      expect(await again.read(1, 100)).toEqual([]);
    }));

  test("removeLog is idempotent, also of a log that never was, and by several at once", () =>
    withClients(async ({ one, other }) => {
      await one.removeLog("never");
      await append(await openNew(one, "a"), "x", "y", "z");
      await Promise.all([one.removeLog("a"), other.removeLog("a"), one.removeLog("a")]);
      await one.removeLog("a");
    }));

  test("an append to a log that is removed does not succeed", () =>
    withClients(async ({ one, other }) => {
      const log = await openNew(one, "a");
      const head = await append(log, "x");
      await other.removeLog("a");
      const outcome = await log.append(head, bytes("y"), lsn(3)).catch((error: unknown) => error);
      if (outcome !== undefined) expect(outcome).toMatchObject({ code: "LOG_CORRUPT" });
      await expect(one.openLog("a")).rejects.toMatchObject({ code: "LOG_CORRUPT" });
    }));

  test("close is idempotent, and what is asked afterwards rejects with a QuipuError", () =>
    withClients(async ({ one, isSilentWhenClosed }) => {
      const log = await openNew(one, "a");
      await one.close();
      await one.close();
      if (isSilentWhenClosed) return;
      const calls = [log.head(), log.seal(), one.openLog("a"), one.registers.get("a"), one.blobs.list("")];
      for (const call of await Promise.allSettled(calls)) {
        expect(call.status === "rejected" && call.reason).toBeInstanceOf(QuipuError);
      }
    }));

  test("description is for people, and names the engine", () =>
    withClients(async ({ one }) => {
      expect(one.description).toContain(one.engine);
    }));
}

function appends(withClients: WithClients): void {
  test("append writes the batch and the head with the new tail, and resolves to the head as everybody sees it", () =>
    withClients(async ({ one, other }) => {
      const log = await openNew(one, "a");
      const first = await log.append(await log.head(), bytes("x"), lsn(8));
      expect(first).toMatchObject({ ...emptyHead, nextBatch: 2, tail: 8 });
      expect(await log.head()).toEqual(first);
      expect(await (await other.openLog("a")).head()).toEqual(first);
      const second = await log.append(first as LogHead, bytes("y"), lsn(9));
      expect(second).toMatchObject({ nextBatch: 3, tail: 9 });
      expect(second?.token).not.toBe(first?.token);
      expect(texts(await readAll(log, 1))).toEqual(["x", "y"]);
    }));

  test("append resolves to undefined where somebody was faster, and nothing was done", () =>
    withClients(async ({ one, other }) => {
      const log = await openNew(one, "a");
      const theirs = await other.openLog("a");
      const stale = await log.head();
      const head = await append(theirs, "theirs");
      expect(await log.append(stale, bytes("ours"), lsn(5))).toBeUndefined();
      expect(await log.head()).toEqual(head);
      expect(texts(await readAll(log, 1))).toEqual(["theirs"]);
    }));

  test("of appends that race on one head, exactly one succeeds", () =>
    withClients(async ({ one, other }) => {
      const logs = [await openNew(one, "a"), await other.openLog("a"), await one.openLog("a")];
      const winners: string[] = [];
      for (let round = 0; round < 10; round++) {
        const heads = await Promise.all(logs.map((log) => log.head()));
        const results = await Promise.all(
          logs.map((log, i) => log.append(heads[i] as LogHead, bytes(`${round} ${i}`), lsn(round + 2))),
        );
        const won = results.flatMap((result, i) => (result === undefined ? [] : [i]));
        expect(won).toHaveLength(1);
        winners.push(`${round} ${won[0]}`);
      }
      expect(texts(await readAll(logs[0] as ExternalLog, 1))).toEqual(winners);
    }));

  test("head covers everything acknowledged, by anyone, before the call", () =>
    withClients(async ({ one, other }) => {
      const log = await openNew(one, "a");
      const theirs = await other.openLog("a");
      for (let i = 0; i < 30; i++) {
        const head = await append(i % 2 === 0 ? log : theirs, `${i}`);
        expect(await (i % 2 === 0 ? theirs : log).head()).toEqual(head);
      }
    }));

  test("a batch may have any bytes, none, and valueBytesMax of them", () =>
    withClients(async ({ one, other }) => {
      const log = await openNew(one, "a");
      const batches = [new Uint8Array(0), new Uint8Array(1_000), large(3_000), large(one.valueBytesMax)];
      let head = await log.head();
      for (const batch of batches) head = (await log.append(head, batch, lsn(head.tail + 1))) as LogHead;
      const back = await readAll(await other.openLog("a"), 1);
      expect(back).toHaveLength(batches.length);
      expect(batches.map((batch, i) => isEqual(back[i], batch))).toEqual(batches.map(() => true));
    }));
}

function reads(withClients: WithClients): void {
  test("read gives batches next to each other from any number on, at least one, some bytesMax bytes", () =>
    withClients(async ({ one, other }) => {
      const all = Array.from({ length: 120 }, (_, i) => `batch ${i + 1}`.padEnd(20, "."));
      const log = await openNew(one, "a");
      await append(log, ...all);
      const theirs = await other.openLog("a");
      await theirs.head();
      for (const from of [1, 2, 60, 119, 120]) {
        expect(texts(await theirs.read(from, 1))).toEqual(all.slice(from - 1, from));
        const some = await theirs.read(from, 200);
        expect(some.length).toBeGreaterThan(0);
        expect(some.length).toBeLessThan(100); // "Some" bytes: not five times as many and more.
        expect(texts(some)).toEqual(all.slice(from - 1, from - 1 + some.length));
        expect(texts(await readAll(theirs, from, 500))).toEqual(all.slice(from - 1));
      }
    }));

  test("read of a batch that is not written yet gives none", () =>
    withClients(async ({ one }) => {
      const log = await openNew(one, "a");
      expect(await log.read(1, 100)).toEqual([]);
      await append(log, "x");
      expect(await log.read(2, 100)).toEqual([]);
      expect(await log.read(50, 100)).toEqual([]);
    }));

  test("read covers every head that this handle has shown", () =>
    withClients(async ({ one, other }) => {
      const log = await openNew(one, "a");
      const theirs = await other.openLog("a");
      for (let i = 1; i <= 30; i++) {
        await append(log, `${i}`);
        const { nextBatch } = await theirs.head();
        expect(texts(await theirs.read(nextBatch - 1, 100))).toEqual([`${i}`]);
      }
    }));

  test("read and head may overlap", () =>
    withClients(async ({ one }) => {
      const log = await openNew(one, "a");
      await append(log, "x", "y");
      const found = await Promise.all(
        Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? log.read(1, 1) : log.head())),
      );
      expect(found.filter((result) => Array.isArray(result)).map((result) => texts(result))).toEqual(
        Array.from({ length: 10 }, () => ["x"]),
      );
    }));
}

function seals(withClients: WithClients): void {
  test("seal is idempotent and final: no append succeeds any more, with whatever head, and batches stay", () =>
    withClients(async ({ one, other }) => {
      const log = await openNew(one, "a");
      const before = await append(log, "x");
      await log.seal();
      await log.seal();
      await (await other.openLog("a")).seal();
      const after = await (await other.openLog("a")).head();
      expect(after).toMatchObject({ nextBatch: 2, tail: 2, sealed: true });
      expect(await log.append(before, bytes("y"), lsn(3))).toBeUndefined();
      expect(await log.append(after, bytes("y"), lsn(3))).toBeUndefined();
      expect(await log.append({ ...after, sealed: false }, bytes("y"), lsn(3))).toBeUndefined();
      expect(await log.head()).toEqual(after);
      expect(texts(await readAll(log, 1))).toEqual(["x"]);
      await one.createLog("a");
      expect(await log.head()).toEqual(after);
    }));

  test("an empty log can be sealed", () =>
    withClients(async ({ one }) => {
      const log = await openNew(one, "a");
      await log.seal();
      expect(await log.head()).toMatchObject({ ...emptyHead, sealed: true });
    }));

  test("seals beside appends and other seals: what was acknowledged is below the sealed tail, and nothing comes after", () =>
    withClients(async ({ one, other }) => {
      for (let round = 0; round < 5; round++) {
        const log = await openNew(one, `log-${round}`);
        const theirs = await other.openLog(`log-${round}`);
        const acknowledged: string[] = [];
        const writing = (async () => {
          let head = await log.head();
          for (let i = 0; ; i++) {
            const next = await log.append(head, bytes(`${i}`), lsn(head.tail + 1));
            if (next === undefined) return;
            acknowledged.push(`${i}`);
            head = next;
          }
        })();
        await append(await openNew(other, `pause-${round}`), "x", "y"); // Lets some appends come before it.
        await Promise.all([theirs.seal(), theirs.seal()]);
        const sealed = await theirs.head();
        await writing;
        expect(sealed).toMatchObject({ sealed: true, nextBatch: acknowledged.length + 1 });
        expect(await log.head()).toEqual(sealed);
        expect(texts(await readAll(log, 1))).toEqual(acknowledged);
      }
    }));
}

function trims(withClients: WithClients): void {
  test("trim moves firstBatch and trimmedUpTo; what is above stays, what is below may go, appends go on", () =>
    withClients(async ({ one, other }) => {
      const log = await openNew(one, "a");
      await append(log, "1", "2", "3", "4", "5");
      await log.trim(4, lsn(3));
      const theirs = await other.openLog("a");
      expect(await theirs.head()).toMatchObject({ nextBatch: 6, tail: 6, firstBatch: 4, trimmedUpTo: 3 });
      for (const number of [1, 2, 3]) {
        // Gone, or still there: then it is what it was.
        const found = texts(await theirs.read(number, 1));
        expect([[], [`${number}`]]).toContainEqual(found);
      }
      expect(texts(await readAll(theirs, 4))).toEqual(["4", "5"]);
      expect(await append(log, "6")).toMatchObject({ nextBatch: 7, firstBatch: 4, trimmedUpTo: 3 });
      expect(texts(await readAll(theirs, 4))).toEqual(["4", "5", "6"]);
    }));

  test("no head of a handle goes back behind another in any part, trims and appends together", () =>
    withClients(async ({ one, other }) => {
      const log = await openNew(one, "a");
      const theirs = await other.openLog("a");
      const before = await append(log, "1", "2", "3");
      await theirs.trim(3, lsn(2));
      const seen = await log.head();
      expect(seen).toMatchObject({ firstBatch: 3, trimmedUpTo: 2 });
      // Whether the head is still `before` is up to the service.
      const appended = await log.append(before, bytes("4"), lsn(5));
      if (appended !== undefined) expect(appended).toMatchObject({ nextBatch: 5, firstBatch: 3, trimmedUpTo: 2 });
    }));

  test("trim is monotone and idempotent", () =>
    withClients(async ({ one }) => {
      const log = await openNew(one, "a");
      await append(log, "1", "2", "3", "4");
      await log.trim(3, lsn(2));
      const head = await log.head();
      await log.trim(3, lsn(2));
      await log.trim(2, lsn(1));
      expect(await log.head()).toEqual(head);
      expect(texts(await readAll(log, 3))).toEqual(["3", "4"]);
    }));

  test("all of a log can be trimmed, a sealed one, too, and an open one goes on", () =>
    withClients(async ({ one }) => {
      const log = await openNew(one, "a");
      await append(log, "1", "2");
      await log.trim(3, lsn(2));
      expect(await log.head()).toMatchObject({ nextBatch: 3, tail: 3, firstBatch: 3, trimmedUpTo: 2 });
      expect(await log.read(3, 100)).toEqual([]);
      await append(log, "3");
      expect(texts(await readAll(log, 3))).toEqual(["3"]);
      await log.seal();
      await log.trim(4, lsn(3));
      expect(await log.head()).toMatchObject({ nextBatch: 4, firstBatch: 4, trimmedUpTo: 3, sealed: true });
    }));

  test("trims of several clients at once, beside appends: the furthest wins, nothing above it goes", () =>
    withClients(async ({ one, other }) => {
      const log = await openNew(one, "a");
      const theirs = await other.openLog("a");
      const all = Array.from({ length: 260 }, (_, i) => `${i + 1}`);
      await append(log, ...all.slice(0, 240));
      await Promise.all([
        log.trim(50, lsn(49)),
        theirs.trim(231, lsn(230)),
        log.trim(120, lsn(119)),
        theirs.trim(119, lsn(118)),
        append(log, ...all.slice(240)),
      ]);
      expect(await theirs.head()).toMatchObject({ nextBatch: 261, firstBatch: 231, trimmedUpTo: 230 });
      expect(texts(await readAll(log, 231))).toEqual(all.slice(230));
    }));
}

function watches(withClients: WithClients): void {
  test("a watcher is called when the head may have changed, and not after close", () =>
    withClients(async ({ one, other }) => {
      const log = await openNew(one, "a");
      const theirs = await other.openLog("a");
      const hinted = { byOne: false, byAnother: false };
      let heard: (() => void) | undefined;
      const watch = theirs.watch(() => heard?.());
      for (const [who, writer] of [
        ["byAnother", log],
        ["byOne", theirs],
      ] as const) {
        // A hint may be missed, so once is no proof; but a service without any is none.
        for (let attempt = 0; attempt < 5 && !hinted[who]; attempt++) {
          const hint = new Promise<void>((resolve) => (heard = resolve));
          await append(writer, "x");
          hinted[who] = await Promise.race([hint.then(() => true), laterThanAnyHint().then(() => false)]);
        }
      }
      expect(hinted).toEqual({ byOne: true, byAnother: true });
      watch.close();
      watch.close();
      let calls = 0;
      heard = () => calls++;
      await append(log, "y", "z");
      await theirs.head();
      expect(calls).toBe(0);
    }));
}

/** Far longer than any hint takes that was not missed. */
function laterThanAnyHint(): Promise<void> {
  // oxlint-disable-next-line no-restricted-globals -- a test of real services waits in real time
  return new Promise((resolve) => setTimeout(resolve, 2_000));
}
