/** Sizes that pass, and a database that fills up: LOG_FULL before etcd's own alarm, and with it. */
import { lsn } from "@quipu/core";
import { describe, expect, test } from "vitest";
import type { Pressure } from "../src/mod.ts";
import { hasEtcd, startEtcdMembers } from "../src/testing/mod.ts";
import { ask, makeNode, pause } from "./harness.ts";

const mebibyte = 1024 * 1024;

describe.skipIf(!hasEtcd())("limits of etcd", () => {
  test("the largest batch passes; the database's alarm is LOG_FULL, definite", async () => {
    const members = await startEtcdMembers({ arguments: [`--quota-backend-bytes=${16 * mebibyte}`] });
    try {
      // It is told another quota than there is.
      const { service, engine } = makeNode({ endpoints: members.endpoints });
      const log = await engine.open(await engine.prepare());
      const largest = (): Uint8Array => new Uint8Array(service.valueBytesMax - 100);
      await log.append([largest()]);
      await expect(log.append([new Uint8Array(service.valueBytesMax)])).rejects.toMatchObject({
        code: "VALUE_TOO_LARGE",
      });
      const outcome = async (): Promise<unknown> => {
        for (let i = 0; i < 40; i++) await log.append([largest()]);
        return undefined;
      };
      await expect(outcome()).rejects.toMatchObject({
        code: "LOG_FULL",
        outcome: "definite",
        message: expect.stringMatching(/^etcd http.*space exceeded/),
      });
      // Reads go on, and so does what frees space.
      const { tail } = await log.tail();
      await log.trim(lsn(tail - 1));
      await log.close();
      await service.close();
    } finally {
      await members.stop();
    }
  });

  test("at half of the quota it warns, at 80 % appends are refused; after trim and compaction they go on", async () => {
    const members = await startEtcdMembers();
    try {
      const seen: Pressure[] = [];
      const options = { endpoints: members.endpoints, quotaBytes: 12 * mebibyte, compactAfterMs: 0 };
      const { service, engine } = makeNode({ ...options, lookEveryMs: 50, onPressure: (now) => seen.push(now) });
      const log = await engine.open(await engine.prepare());
      const fill = async (): Promise<void> => {
        for (let i = 0; i < 100; i++) {
          await log.append([new Uint8Array(256 * 1024)]);
          await pause(10);
        }
      };
      await expect(fill()).rejects.toMatchObject({
        code: "LOG_FULL",
        message: expect.stringContaining("of a quota of"),
      });
      expect(seen.map(({ level }) => level)).toEqual(["warn", "full"]);
      expect(service.pressure).toMatchObject({ level: "full", quotaBytes: 12 * mebibyte });
      const { tail } = await log.tail();
      await log.trim(lsn(tail - 1));
      const [endpoint = ""] = members.endpoints;
      const status = (await ask(endpoint, "/v3/maintenance/status", {})) as {
        readonly header: { readonly revision: string };
      };
      await ask(endpoint, "/v3/kv/compaction", { revision: status.header.revision, physical: true });
      await ask(endpoint, "/v3/maintenance/defragment", {});
      while (service.pressure.level !== "ok") await pause(20);
      expect(await log.append([new Uint8Array(1)])).toEqual({ first: tail, last: tail });
      await log.close();
      await service.close();
    } finally {
      await members.stop();
    }
  });

  test("old revisions are compacted by themselves, unless that is turned off", async () => {
    const members = await startEtcdMembers();
    try {
      const [endpoint = ""] = members.endpoints;
      const isCompacted = async (): Promise<boolean> => {
        const first = ask(endpoint, "/v3/kv/range", { key: "AA==", revision: "2" });
        return first.then(
          () => false,
          (error: Error) => error.message.includes("compacted"),
        );
      };
      const off = makeNode({ endpoints: members.endpoints, compactAfterMs: 0, lookEveryMs: 20 });
      const log = await off.engine.open(await off.engine.prepare());
      for (let i = 0; i < 5; i++) await log.append([new Uint8Array(1)]);
      await pause(200);
      expect(await isCompacted()).toBe(false);
      const on = makeNode({ endpoints: members.endpoints, compactAfterMs: 100, lookEveryMs: 20 });
      await on.service.registers.get("x");
      while (!(await isCompacted())) await pause(20);
      expect(await log.append([new Uint8Array(1)])).toEqual({ first: 6, last: 6 });
      await log.close();
      await off.service.close();
      await on.service.close();
    } finally {
      await members.stop();
    }
  });
});
