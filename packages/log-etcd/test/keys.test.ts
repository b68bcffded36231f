/** What stands below the prefix: ours is told from what is somebody else's, or damaged, and nothing is written over. */
import { lsn, type QuipuError } from "@quipu/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EtcdMembers, hasEtcd, startEtcdMembers } from "../src/testing/mod.ts";
import { ask, encode, makeNode, makeOtherWith, type Node, record, textOf } from "./harness.ts";

describe.skipIf(!hasEtcd())("keys of etcd", () => {
  let members: EtcdMembers;
  let prefixes = 0;
  beforeAll(async () => {
    members = await startEtcdMembers();
  });
  afterAll(() => members.stop());

  const put = (key: string, value: string): Promise<unknown> =>
    ask(members.endpoints[0] ?? "", "/v3/kv/put", { key: encode(key), value: encode(value) });
  const remove = (key: string): Promise<unknown> =>
    ask(members.endpoints[0] ?? "", "/v3/kv/deleterange", { key: encode(key) });
  const get = async (key: string): Promise<string | undefined> => {
    const { kvs } = (await ask(members.endpoints[0] ?? "", "/v3/kv/range", { key: encode(key) })) as {
      readonly kvs?: readonly { readonly value: string }[];
    };
    return kvs?.[0] === undefined ? undefined : Buffer.from(kvs[0].value, "base64").toString("latin1");
  };

  /** A node below a prefix of its own. */
  const withNode = async (
    body: (node: Node, prefix: string, makeOther: () => Node) => Promise<void>,
  ): Promise<void> => {
    const prefix = `/keys/${prefixes++}/`;
    const nodes: Node[] = [];
    const makeOther = (): Node => {
      const node = makeNode({ endpoints: members.endpoints, prefix });
      nodes.push(node);
      return node;
    };
    await body(makeOther(), prefix, makeOther);
    for (const { service } of nodes) await service.close();
  };
  const nameIn = (parameters: string): string => (JSON.parse(parameters) as { readonly log: string }).log;

  test("a prefix where somebody else's keys are is refused, and they stay", () =>
    withNode(async ({ engine, service }, prefix) => {
      await put(`${prefix}theirs`, "precious");
      const refusal = { code: "LOG_CORRUPT", message: expect.stringContaining(`${prefix}theirs`) };
      await expect(engine.prepare()).rejects.toMatchObject(refusal);
      await expect(service.registers.compareAndSet("chain", 0, record("x"))).rejects.toMatchObject(refusal);
      await expect(service.blobs.put("a", record("x"))).rejects.toMatchObject(refusal);
      expect(await get(`${prefix}theirs`)).toBe("precious");
    }));

  test("a second cell is refused below the prefix of the first", async () => {
    const options = { endpoints: members.endpoints, prefix: `/keys/${prefixes++}/` };
    const first = makeNode({ ...options, cell: "one" });
    await first.engine.prepare();
    const second = makeNode({ ...options, cell: "two" });
    await expect(second.engine.prepare()).rejects.toMatchObject({
      code: "INVALID_CONFIGURATION",
      message: expect.stringContaining("cell one lives here"),
    });
    await first.service.close();
    await second.service.close();
  });

  test("a log is not made where other keys are, is made twice without harm, and is gone after it was removed", () =>
    withNode(async ({ service }, prefix) => {
      await service.createLog("a");
      await service.createLog("a");
      await put(`${prefix}log/b/x`, "theirs");
      await expect(service.createLog("b")).rejects.toMatchObject({ code: "LOG_CORRUPT" });
      await put(`${prefix}log/c/t`, "theirs");
      await expect(service.createLog("c")).rejects.toMatchObject({ code: "LOG_CORRUPT" });
      await expect(service.openLog("c")).rejects.toMatchObject({
        message: expect.stringContaining(`${prefix}log/c/t`),
      });
      await expect(service.removeLog("c")).rejects.toMatchObject({ code: "LOG_CORRUPT" });
      expect(await get(`${prefix}log/c/t`)).toBe("theirs");
      await service.removeLog("a");
      await service.removeLog("a");
      await expect(service.openLog("a")).rejects.toMatchObject({ code: "LOG_CORRUPT" });
    }));

  test.each(["removed", "overwritten"])("a head that was %s is told by name, and nothing is written over it", (how) =>
    withNode(async ({ engine }, prefix) => {
      const parameters = await engine.prepare();
      const log = await engine.open(parameters);
      await log.append([record("a")]);
      const key = `${prefix}log/${nameIn(parameters)}/t`;
      await (how === "removed" ? remove(key) : put(key, '{"quipu": "something else"}'));
      await expect(log.append([record("b")])).rejects.toMatchObject({
        code: "LOG_CORRUPT",
        message: expect.stringContaining(key),
      });
      expect(await get(key)).toBe(how === "removed" ? undefined : '{"quipu": "something else"}');
      await log.close();
    }),
  );

  test("a batch where none should be is not written over", () =>
    withNode(async ({ engine }, prefix) => {
      const parameters = await engine.prepare();
      const log = await engine.open(parameters);
      const key = `${prefix}log/${nameIn(parameters)}/e/00000000000000000001`;
      await put(key, "theirs");
      await expect(log.append([record("a")])).rejects.toMatchObject({
        code: "LOG_CORRUPT",
        message: expect.stringMatching(/batch 1: |e\/00000000000000000001: /),
      });
      expect(await get(key)).toBe("theirs");
      await log.close();
    }));

  test.each(["removed", "overwritten"])("a batch that was %s is damage, and nobody reads past it", (how) =>
    withNode(async ({ engine }, prefix, makeOther) => {
      const parameters = await engine.prepare();
      const log = await engine.open(parameters);
      for (const text of ["a", "b", "c"]) await log.append([record(text)]);
      const key = `${prefix}log/${nameIn(parameters)}/e/00000000000000000002`;
      await (how === "removed" ? remove(key) : put(key, "theirs"));
      const other = makeOther();
      const texts: string[] = [];
      const damage = new Promise<QuipuError>((resolve) => {
        const { engine: reading } = makeOtherWith(other, resolve);
        void reading.open(parameters).then((opened) =>
          opened.read(lsn(1), (delivery) => {
            if (delivery.type === "records") texts.push(...delivery.records.map(textOf));
          }),
        );
      });
      expect((await damage).message).toMatch(/batch 2: /);
      expect(texts).toEqual(["a"]);
      await log.close();
    }),
  );

  test("trimmed batches are removed, also those that an earlier trim left; a reader gets a gap", () =>
    withNode(async ({ engine, service }, prefix, makeOther) => {
      const parameters = await engine.prepare();
      const log = await engine.open(parameters);
      for (let i = 1; i <= 10; i++) await log.append([record(`${i}`)]);
      await log.trim(lsn(4));
      const base = `${prefix}log/${nameIn(parameters)}/e/0000000000000000000`;
      expect(await get(`${base}4`)).toBeUndefined();
      expect(await get(`${base}5`)).toBeDefined();
      // The mark is there, but whoever set it died before it removed anything.
      await put(`${base}2`, "left over");
      const raw = await service.openLog(nameIn(parameters));
      await raw.trim(5, lsn(4));
      expect(await get(`${base}2`)).toBeUndefined();
      const fresh = await makeOther().engine.open(parameters);
      const first = await new Promise((resolve) => fresh.read(lsn(1), resolve));
      expect(first).toEqual({ type: "gap", trimmedUpTo: 4 });
      await fresh.close();
      await log.close();
    }));

  test("a log whose old revisions are compacted goes on, and hints go on coming", () =>
    withNode(async ({ engine }, _, makeOther) => {
      const parameters = await engine.prepare();
      const log = await engine.open(parameters);
      const reader = await makeOther().engine.open(parameters);
      let got = 0;
      reader.read(lsn(1), (delivery) => {
        if (delivery.type === "records") got += delivery.records.length;
      });
      await log.append([record("a")]);
      const { header } = (await ask(members.endpoints[0] ?? "", "/v3/maintenance/status", {})) as {
        readonly header: { readonly revision: string };
      };
      await ask(members.endpoints[0] ?? "", "/v3/kv/compaction", { revision: header.revision, physical: true });
      await log.append([record("b")]);
      const { tail } = await reader.tail();
      while (got < tail - 1) await new Promise((resolve) => setTimeout(resolve, 5));
      await reader.close();
      await log.close();
    }));

  test("registers are changed by compare-and-set only; versions count", () =>
    withNode(async ({ service }, prefix) => {
      const { registers } = service;
      expect(await registers.get("chain/a")).toBeUndefined();
      expect(await registers.compareAndSet("chain/a", 1, record("x"))).toBe(false);
      expect(await registers.compareAndSet("chain/a", 0, record("x"))).toBe(true);
      expect(await registers.compareAndSet("chain/a", 0, record("y"))).toBe(false);
      const racing = [record("1"), record("2"), record("3")];
      const won = await Promise.all(racing.map((value) => registers.compareAndSet("chain/a", 1, value)));
      expect(won.filter(Boolean)).toHaveLength(1);
      const stored = await registers.get("chain/a");
      expect(stored?.version).toBe(2);
      expect(textOf(stored?.value ?? new Uint8Array(0))).toBe(String(won.indexOf(true) + 1));
      await put(`${prefix}register/chain/a`, "theirs");
      await expect(registers.get("chain/a")).rejects.toMatchObject({
        code: "LOG_CORRUPT",
        message: expect.stringContaining(`${prefix}register/chain/a`),
      });
    }));

  test("blobs come back whole, are listed in order and removed; what is not ours is not written over", () =>
    withNode(async ({ service }, prefix) => {
      const { blobs, valueBytesMax } = service;
      const large = new Uint8Array(valueBytesMax).map((_, i) => i * 7);
      await blobs.put("s/2", large);
      await blobs.put("s/1", record("a"));
      await blobs.put("s/1", record("b"));
      await blobs.put("t", new Uint8Array(0));
      expect(await blobs.list("s/")).toEqual(["s/1", "s/2"]);
      expect(await blobs.list("")).toEqual(["s/1", "s/2", "t"]);
      expect(Buffer.from((await blobs.get("s/2")) ?? []).equals(Buffer.from(large))).toBe(true);
      expect(textOf((await blobs.get("s/1")) ?? new Uint8Array(0))).toBe("b");
      expect((await blobs.get("t"))?.length).toBe(0);
      await blobs.remove("s/1");
      await blobs.remove("s/1");
      expect(await blobs.get("s/1")).toBeUndefined();
      await expect(blobs.put("u", new Uint8Array(valueBytesMax + 1))).rejects.toMatchObject({
        code: "VALUE_TOO_LARGE",
      });
      await expect(blobs.put("../u", record("a"))).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      await put(`${prefix}blob/v`, "theirs");
      await expect(blobs.put("v", record("a"))).rejects.toMatchObject({ code: "LOG_CORRUPT" });
      expect(await get(`${prefix}blob/v`)).toBe("theirs");
    }));
});
