/** What is not as we left it, and what is not ours: found, named, never overwritten. Also: who may read it, and options. */
import { lsn } from "@quipu/core";
import type { ExternalLog, ExternalService, LogHead } from "@quipu/log";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { zooKeeperService } from "../src/mod.ts";
import { startZooKeeper, type ZooKeeperEnsemble, zooKeeperMissing } from "../src/testing/mod.ts";
import { bytes, closeServices, newPrefix, openService, Stranger, text } from "./harness.ts";

const missing = zooKeeperMissing();

describe.skipIf(missing !== undefined)(`zookeeper, one server${missing === undefined ? "" : `: ${missing}`}`, () => {
  let ensemble: ZooKeeperEnsemble;
  let stranger: Stranger;
  beforeAll(async () => {
    ensemble = await startZooKeeper(1);
    stranger = await Stranger.open(ensemble.endpoints.join());
  }, 120_000);
  afterEach(closeServices);
  afterAll(async () => {
    stranger.close();
    await ensemble.stop();
  });

  const serviceAt = (prefix: string, more: Partial<Parameters<typeof openService>[0]> = {}): ExternalService =>
    openService({ endpoints: ensemble.endpoints, prefix, ...more });

  async function append(log: ExternalLog, ...batches: readonly string[]): Promise<LogHead> {
    let head = await log.head();
    for (const batch of batches) head = (await log.append(head, bytes(batch), lsn(head.tail + 1))) as LogHead;
    return head;
  }

  async function newLog(...batches: readonly string[]) {
    const prefix = newPrefix();
    const service = serviceAt(prefix);
    await service.createLog("a");
    const log = await service.openLog("a");
    const head = await append(log, ...batches);
    return { prefix, service, log, head, at: `${prefix}/logs/a` };
  }

  const corrupt = (path: string) => ({ code: "LOG_CORRUPT", message: expect.stringContaining(path) });

  test("people can read with any client what stands there", async () => {
    const { prefix, service, log, at } = await newLog("x", "y", "z");
    await log.trim(3, lsn(2));
    await service.registers.compareAndSet("chain/1", 0, bytes("value"));
    expect(await stranger.get(`${prefix}/format`)).toBe("quipu zookeeper 1");
    expect(await stranger.get(`${at}/open`)).toBe("open");
    expect(await stranger.get(`${at}/head`)).toBe("head 4 4");
    expect(await stranger.get(`${at}/trim`)).toBe("trim 3 2 3");
    expect(await stranger.children(`${at}/e`)).toEqual(["3"]);
    expect(await stranger.get(`${prefix}/registers/chain%2f1`)).toBe("value");
    await log.seal();
    expect(await stranger.get(`${at}/open`)).toBe("sealed");
  });

  test("a trim removes what is below it, also what an interrupted one has left, in more than one transaction", async () => {
    const { log, at } = await newLog(...Array.from({ length: 350 }, (_, i) => `${i + 1}`));
    // As if another trim had died between saying so and removing all of it.
    await stranger.set(`${at}/trim`, "trim 220 219 1");
    await Promise.all([1, 2, 130].map((number) => stranger.remove(`${at}/e/${number}`)));
    await log.trim(220, lsn(219));
    expect(await stranger.get(`${at}/trim`)).toBe("trim 220 219 220");
    expect(await stranger.children(`${at}/e`)).toHaveLength(131);
    await log.trim(345, lsn(344));
    expect([...(await stranger.children(`${at}/e`))].sort()).toEqual(["345", "346", "347", "348", "349", "350"]);
  });

  test.each(["head", "open", "trim", "e"])(
    "a removed %s is LOG_CORRUPT, and nothing is written in its place",
    async (node) => {
      const { log, service, head, at } = await newLog();
      await stranger.remove(`${at}/${node}`);
      await expect(service.openLog("a")).rejects.toMatchObject(corrupt(`${at}/${node}`));
      await expect(service.createLog("a")).rejects.toMatchObject(corrupt(`${at}/${node}`));
      if (node !== "e") await expect(log.head()).rejects.toMatchObject(corrupt(`${at}/${node}`));
      if (node !== "trim") await expect(log.append(head, bytes("y"), lsn(3))).rejects.toMatchObject(corrupt(at));
      await expect(service.removeLog("a")).rejects.toMatchObject(corrupt(`${at}/${node}`));
      expect(await stranger.children(at)).not.toContain(node);
    },
  );

  test("a removed batch is LOG_CORRUPT for who reads it, and a hole for nobody", async () => {
    const { log, at } = await newLog("1", "2", "3", "4");
    await stranger.remove(`${at}/e/3`);
    expect((await log.read(1, 1_000)).map(text)).toEqual(["1", "2"]);
    await expect(log.read(3, 1_000)).rejects.toMatchObject(corrupt(`${at}/e/3`));
    expect((await log.read(4, 1_000)).map(text)).toEqual(["4"]);
  });

  test("a head that somebody else has written is LOG_CORRUPT, even in our own words", async () => {
    const { log, at } = await newLog("1", "2");
    for (const value of [
      "head 3 3",
      "head 4 3",
      "head 6 3 ",
      "HEAD 7 3",
      "",
      "head 09 3",
      "head 10 0",
      "head 11 1e3",
    ]) {
      await stranger.set(`${at}/head`, value);
      await expect(log.head()).rejects.toMatchObject(corrupt(`${at}/head`));
      expect(await stranger.get(`${at}/head`)).toBe(value);
    }
  });

  test.each([
    ["open", "closed"],
    ["open", "sealed "],
    ["trim", "trim 1 0"],
    ["trim", "trim 1 0 2"],
    ["trim", "trim 9 8 1"],
    ["trim", "nothing"],
  ])("a %s that says %j is LOG_CORRUPT", async (node, value) => {
    const { log, service, at } = await newLog("1", "2");
    await stranger.set(`${at}/${node}`, value);
    await expect(log.head()).rejects.toMatchObject(corrupt(`${at}/${node}`));
    await expect(service.openLog("a")).rejects.toMatchObject(corrupt(`${at}/${node}`));
    if (node === "open") await expect(log.seal()).rejects.toMatchObject(corrupt(`${at}/open`));
    expect(await stranger.get(`${at}/${node}`)).toBe(value);
  });

  test("where the next batch stands already, an append is LOG_CORRUPT and overwrites nothing", async () => {
    const { log, at, head } = await newLog("1");
    await stranger.create(`${at}/e/2`, "not ours");
    await expect(log.append(head, bytes("2"), lsn(3))).rejects.toMatchObject(corrupt(`${at}/e/2`));
    expect(await stranger.get(`${at}/e/2`)).toBe("not ours");
    expect(await stranger.get(`${at}/head`)).toBe("head 2 2");
  });

  test("a log's place that somebody else has taken is LOG_CORRUPT, and stays theirs", async () => {
    const { service, prefix } = await newLog();
    await stranger.create(`${prefix}/logs/b`, "theirs");
    await expect(service.createLog("b")).rejects.toMatchObject(corrupt(`${prefix}/logs/b`));
    await expect(service.openLog("b")).rejects.toMatchObject(corrupt(`${prefix}/logs/b`));
    await expect(service.removeLog("b")).rejects.toMatchObject(corrupt(`${prefix}/logs/b`));
    expect(await stranger.get(`${prefix}/logs/b`)).toBe("theirs");
  });

  test("nodes of others below a log are not removed with it", async () => {
    const { service, at } = await newLog("1");
    await stranger.create(`${at}/e/theirs`, "theirs");
    await expect(service.removeLog("a")).rejects.toMatchObject(corrupt(`${at}/e`));
    expect(await stranger.get(`${at}/e/theirs`)).toBe("theirs");
  });

  test("a prefix with nodes of others is LOG_CORRUPT, and so is one of another format; nothing is written there", async () => {
    const prefix = newPrefix();
    await stranger.create(prefix, "");
    await stranger.create(`${prefix}/app`, "theirs");
    await expect(serviceAt(prefix).createLog("a")).rejects.toMatchObject(corrupt(prefix));
    expect(await stranger.children(prefix)).toEqual(["app"]);
    await stranger.create(`${prefix}/format`, "quipu zookeeper 2");
    await expect(serviceAt(prefix).registers.get("a")).rejects.toMatchObject(corrupt(`${prefix}/format`));
    expect([...(await stranger.children(prefix))].sort()).toEqual(["app", "format"]);
  });

  test("an empty prefix that an administrator has made is taken", async () => {
    const prefix = newPrefix();
    await stranger.create(prefix, "for quipu");
    await serviceAt(prefix).createLog("a");
    expect(await stranger.get(prefix)).toBe("for quipu");
  });

  test("a prefix whose format is removed under us is LOG_CORRUPT", async () => {
    const { service, log, prefix } = await newLog("1");
    await stranger.remove(`${prefix}/format`);
    await expect(log.head()).rejects.toMatchObject(corrupt(`${prefix}/format`));
    await expect(service.registers.get("a")).rejects.toMatchObject(corrupt(`${prefix}/format`));
  });

  test("a log wears out at half the appends that it takes, and then takes no more", async () => {
    const prefix = newPrefix();
    const service = serviceAt(prefix, { appendsMax: 6 });
    await service.createLog("a");
    const log = await service.openLog("a");
    expect(await append(log, "1", "2")).toMatchObject({ nextBatch: 3, wearsOut: false });
    expect(await append(log, "3")).toMatchObject({ nextBatch: 4, wearsOut: true });
    expect(await log.head()).toMatchObject({ wearsOut: true });
    const head = await append(log, "4", "5", "6");
    await expect(log.append(head, bytes("7"), lsn(8))).rejects.toMatchObject({ code: "LOG_FULL", outcome: "definite" });
    expect(await log.head()).toEqual(head);
    await log.seal();
    expect(await log.head()).toEqual({ ...head, sealed: true });
  });

  test("with user and password, nodes are this user's only", async () => {
    const prefix = newPrefix();
    const owner = { user: "quipu", password: "secret: with a colon" };
    const service = serviceAt(prefix, { credentials: owner });
    await service.createLog("a");
    await append(await service.openLog("a"), "x");
    await service.registers.compareAndSet("r", 0, bytes("v"));
    await service.blobs.put("b", bytes("v"));
    const [bucket = ""] = await (
      await Stranger.open(ensemble.endpoints.join(), "quipu:secret: with a colon")
    ).children(`${prefix}/blobs`);
    for (const path of ["", "/format", "/logs/a/head", "/logs/a/e/1", "/registers/r", `/blobs/${bucket}/b`]) {
      await expect(stranger.get(prefix + path)).rejects.toThrow(/NO_AUTH/);
      await expect(stranger.set(prefix + path, "mine")).rejects.toThrow(/NO_AUTH/);
    }
    const again = serviceAt(prefix, { credentials: owner });
    expect((await (await again.openLog("a")).read(1, 10)).map(text)).toEqual(["x"]);
  });

  test("a wrong password, and none, is INVALID_CONFIGURATION and names the endpoint, not the password", async () => {
    const prefix = newPrefix();
    await serviceAt(prefix, { credentials: { user: "quipu", password: "right" } }).createLog("a");
    const endpoint = ensemble.endpoints[0] as string;
    for (const credentials of [{ user: "quipu", password: "wr0ng" }, { user: "other", password: "right" }, undefined]) {
      const service = serviceAt(prefix, credentials === undefined ? {} : { credentials });
      for (const call of [
        service.createLog("a"),
        service.openLog("a"),
        service.registers.get("r"),
        service.blobs.put("b", bytes("v")),
      ]) {
        const error = (await call.catch((reason: unknown) => reason)) as Error;
        expect(error).toMatchObject({ code: "INVALID_CONFIGURATION", message: expect.stringContaining(endpoint) });
        expect(error.message).toContain(credentials?.user ?? "without user");
        expect(error.message).not.toContain("wr0ng");
      }
    }
  });
});

describe("zookeeper: options", () => {
  test.each([
    [{ endpoints: [] }, /endpoint/],
    [{ endpoints: ["a:b:c"] }, /a:b:c/],
    [{ endpoints: ["host:0"] }, /host:0/],
    [{ endpoints: ["host:70000"] }, /host:70000/],
    [{ endpoints: ["host"], prefix: "quipu" }, /prefix quipu/],
    [{ endpoints: ["host"], prefix: "/" }, /prefix/],
    [{ endpoints: ["host"], prefix: "/quipu/" }, /prefix/],
    [{ endpoints: ["host"], prefix: "/a/../b" }, /prefix/],
    [{ endpoints: ["host"], prefix: "/zookeeper/quota" }, /prefix/],
    [{ endpoints: ["host"], credentials: { user: "a:b", password: "c" } }, /user/],
  ])("%j is INVALID_CONFIGURATION", (options, message) => {
    expect(() => zooKeeperService(options)).toThrow(
      expect.objectContaining({ code: "INVALID_CONFIGURATION", message: expect.stringMatching(message) }),
    );
  });

  test("a port may be left out, and an address have colons", async () => {
    const service = openService({ endpoints: ["zoo.invalid", "[::1]:2182"] });
    expect(service.description).toBe("zookeeper at zoo.invalid:2181,::1:2182, prefix /quipu");
    await closeServices();
  });
});
