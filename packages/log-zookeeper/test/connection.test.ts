/** Connections that end, hang or never come to be: which error tells what, and that all goes on by itself. */
import { createServer } from "node:net";
import { lsn } from "@quipu/core";
import type { ExternalLog, LogHead } from "@quipu/log";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startZooKeeper, type ZooKeeperEnsemble, zooKeeperMissing } from "../src/testing/mod.ts";
import { opCode } from "../src/wire/protocol.ts";
import { bytes, closeServices, newPrefix, openService, text } from "./harness.ts";
import { Proxy } from "./proxy.ts";

const missing = zooKeeperMissing();
/** Twice the servers' tick: a connection without a byte is given up after two thirds of it. */
const sessionTimeoutMs = 1_000;
/** Longer than a lost connection takes to be noticed, short enough to wait for. */
const patienceMs = 1_500;

describe.skipIf(missing !== undefined)(`zookeeper behind a proxy${missing === undefined ? "" : `: ${missing}`}`, () => {
  let ensemble: ZooKeeperEnsemble;
  const proxies: Proxy[] = [];
  beforeAll(async () => {
    ensemble = await startZooKeeper(1);
  }, 120_000);
  afterEach(async () => {
    await closeServices();
    await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
  });
  afterAll(() => ensemble.stop());

  async function openProxy(): Promise<Proxy> {
    const proxy = await Proxy.open(ensemble.endpoints[0] as string);
    proxies.push(proxy);
    return proxy;
  }

  /** One client behind a proxy, and one that sees the truth. */
  async function openBoth(timing: { readonly patienceMs: number } = { patienceMs }) {
    const proxy = await openProxy();
    const prefix = newPrefix();
    const service = openService({ endpoints: [proxy.endpoint], prefix, sessionTimeoutMs, ...timing });
    await service.createLog("a");
    const log = await service.openLog("a");
    const truth = await openService({ endpoints: ensemble.endpoints, prefix }).openLog("a");
    return { proxy, service, log, truth };
  }

  const appendTo = async (log: ExternalLog, at: LogHead, batch: string): Promise<LogHead | undefined> =>
    log.append(at, bytes(batch), lsn(at.tail + 1));

  test("an append whose answer is lost is LOG_APPEND_UNKNOWN, and is in the log; the same again is not", async () => {
    const { proxy, log, truth } = await openBoth();
    const head = await log.head();
    proxy.mode = "drop-answers";
    await expect(appendTo(log, head, "x")).rejects.toMatchObject({
      code: "LOG_APPEND_UNKNOWN",
      outcome: "unknown",
      message: expect.stringContaining(proxy.endpoint),
    });
    expect((await truth.read(1, 100)).map(text)).toEqual(["x"]);
    proxy.heal();
    await expect.poll(() => log.head().catch(() => undefined), { timeout: 30_000 }).toBeDefined();
    expect(await appendTo(log, head, "x")).toBeUndefined();
    expect((await log.read(1, 100)).map(text)).toEqual(["x"]);
  });

  test("what is not idempotent is not asked again: the second answer would say that nothing was done", async () => {
    const { proxy, service, log, truth } = await openBoth({ patienceMs: 10_000 });
    const head = await log.head();
    for (const call of [
      () => appendTo(log, head, "x"),
      () => service.registers.compareAndSet("r", 0, bytes("x")),
      () => service.registers.compareAndSet("r", 1, bytes("y")),
    ]) {
      await log.head(); // There is a connection.
      const sent = proxy.loseAnswerTo(opCode.multi);
      const failed = expect(call()).rejects.toMatchObject({ code: "LOG_APPEND_UNKNOWN", outcome: "unknown" });
      await sent;
      await truth.head(); // By then the one server has done it.
      proxy.heal();
      await failed;
    }
    expect((await log.read(1, 100)).map(text)).toEqual(["x"]);
    expect(await service.registers.get("r")).toEqual({ version: 2, value: bytes("y") });
  });

  test("an append that was sent and never came is LOG_APPEND_UNKNOWN, too, and is not in the log", async () => {
    const { proxy, log, truth } = await openBoth();
    const head = await log.head();
    proxy.mode = "hold-requests";
    await expect(appendTo(log, head, "x")).rejects.toMatchObject({ code: "LOG_APPEND_UNKNOWN" });
    expect(await truth.head()).toEqual(head);
    proxy.heal();
    await expect.poll(() => log.head().catch(() => undefined), { timeout: 30_000 }).toEqual(head);
    expect(await appendTo(log, head, "y")).toMatchObject({ nextBatch: 2 });
  });

  test("without a connection everything is NOQUORUM, definite, names endpoint and cause, and goes on by itself", async () => {
    const { proxy, service, log, truth } = await openBoth();
    const head = await log.head();
    proxy.mode = "refuse";
    proxy.cut();
    await expect(log.head()).rejects.toThrow(); // By then the client has seen its connection end.
    const noQuorum = { code: "NOQUORUM", outcome: "definite", message: expect.stringContaining(proxy.endpoint) };
    await Promise.all(
      [
        appendTo(log, head, "x"),
        log.head(),
        log.read(1, 100),
        log.seal(),
        log.trim(1, lsn(1)),
        service.createLog("b"),
        service.registers.get("r"),
        service.registers.compareAndSet("r", 0, bytes("v")),
        service.blobs.put("b", bytes("v")),
        service.blobs.list(""),
      ].map((call) => expect(call).rejects.toMatchObject(noQuorum)),
    );
    expect(await truth.head()).toEqual(head);
    proxy.mode = "pass";
    await expect.poll(() => log.head().catch(() => undefined), { timeout: 30_000 }).toEqual(head);
    expect(await appendTo(log, head, "x")).toMatchObject({ nextBatch: 2 });
    expect(await service.registers.get("r")).toBeUndefined();
  });

  test("an ensemble that is away from the start is NOQUORUM that says why, and is found when it comes", async () => {
    const proxy = await openProxy();
    const { endpoint } = proxy;
    await proxy.close();
    const prefix = newPrefix();
    const service = openService({ endpoints: [endpoint], prefix, patienceMs: 300 });
    await expect(service.createLog("a")).rejects.toMatchObject({
      code: "NOQUORUM",
      message: expect.stringMatching(new RegExp(`${endpoint}.*ECONNREFUSED`)),
    });
    await expect(service.registers.get("a")).rejects.toMatchObject({ code: "NOQUORUM" });
    const back = openService({ endpoints: [endpoint, ensemble.endpoints[0] as string], prefix });
    await back.createLog("a"); // One of two that is away is passed over.
    expect(await (await back.openLog("a")).head()).toMatchObject({ nextBatch: 1 });
  });

  test("reads pass over a connection that ends under them, without an error", async () => {
    const { proxy, log, service } = await openBoth({ patienceMs: 10_000 });
    await appendTo(log, await log.head(), "x");
    for (let round = 0; round < 10; round++) {
      const calls = [log.head(), log.read(1, 100), service.registers.get("r"), service.blobs.list("")];
      proxy.cut();
      const [head, batches] = await Promise.all(calls);
      expect(head).toMatchObject({ nextBatch: 2 });
      expect((batches as readonly Uint8Array[]).map(text)).toEqual(["x"]);
    }
  });

  test("what is idempotent passes over it, too", async () => {
    const { proxy, log, service, truth } = await openBoth({ patienceMs: 10_000 });
    let head = await log.head();
    for (let i = 0; i < 8; i++) head = (await appendTo(log, head, `${i}`)) as LogHead;
    const { create, multi, multiRead } = opCode;
    for (const [operation, call] of [
      [multiRead, () => log.trim(3, lsn(2))],
      [multi, () => log.trim(4, lsn(3))],
      [multi, () => service.createLog("b")],
      [create, () => service.blobs.put("blob", bytes("v"))],
      [multi, () => log.seal()],
      [multi, () => service.removeLog("b")],
    ] as const) {
      await log.head(); // There is a connection.
      const sent = proxy.loseAnswerTo(operation);
      const done = call();
      await sent;
      proxy.heal();
      await done;
    }
    expect(await truth.head()).toMatchObject({ firstBatch: 4, sealed: true });
    expect(text((await service.blobs.get("blob")) as Uint8Array)).toBe("v");
    await expect(service.openLog("b")).rejects.toMatchObject({ code: "LOG_CORRUPT" });
  });

  test("a session is taken up again after a short cut, and a new one begun after it has expired; watches go on", async () => {
    const { proxy, log, truth } = await openBoth({ patienceMs: 20_000 });
    let heard: (() => void) | undefined;
    const watch = log.watch(() => heard?.());
    const untilHint = async (): Promise<void> => {
      const hint = new Promise<void>((resolve) => (heard = resolve));
      await appendTo(truth, await truth.head(), "x");
      await hint;
    };
    await untilHint();
    proxy.cut();
    await log.head();
    const [first, again, ...none] = proxy.sessions;
    expect([first, none]).toEqual([0n, []]);
    expect(again).not.toBe(0n);
    await untilHint();

    proxy.mode = "refuse";
    proxy.cut();
    // The session ends some ticks after its timeout; only the server says when, and not while it is asked.
    await new Promise((resolve) => setTimeout(resolve, 3 * sessionTimeoutMs));
    proxy.mode = "pass";
    await log.head();
    expect(proxy.sessions.slice(2)).toEqual([again, 0n]);
    await untilHint();
    watch.close();
  });

  test("a watcher hears of a seal, too", async () => {
    const { log, truth } = await openBoth();
    let isSealed = false;
    const hint = new Promise<void>((resolve) => log.watch(() => isSealed && resolve()));
    await log.head(); // Behind the watch: by now it stands.
    isSealed = true;
    await truth.seal();
    await hint;
  });

  test("a server that stands still is given up after two thirds of the session's timeout", async () => {
    const { proxy, log } = await openBoth({ patienceMs: 20_000 });
    // The server hears our pings, so it is not the one that ends the connection.
    proxy.mode = "drop-answers";
    const head = log.head();
    await expect.poll(() => proxy.sessions.length, { timeout: 10_000, interval: 20 }).toBeGreaterThan(1);
    proxy.heal();
    expect(await head).toMatchObject({ nextBatch: 1 });
  });

  test("an idle connection stays", async () => {
    const { proxy, log } = await openBoth();
    await new Promise((resolve) => setTimeout(resolve, 2 * sessionTimeoutMs));
    await log.head();
    expect(proxy.sessions).toHaveLength(1);
    expect(proxy.connections).toBe(1);
  });

  test("close ends the session and its connection, also while there is none", async () => {
    const { proxy, service } = await openBoth();
    await service.close();
    expect(proxy.lastOperation).toBe(opCode.closeSession);
    await expect.poll(() => proxy.connections, { timeout: 5_000, interval: 10 }).toBe(0);
    expect(proxy.sessions).toHaveLength(1);
    proxy.mode = "refuse";
    const lonely = openService({ endpoints: [proxy.endpoint], prefix: newPrefix(), patienceMs: 20_000 });
    const call = lonely.createLog("a").catch((error: unknown) => error);
    await lonely.close();
    expect(await call).toMatchObject({ code: "NOQUORUM", message: expect.stringContaining("closed") });
  });

  test("somebody who is not ZooKeeper is NOQUORUM that asks whether they are", async () => {
    const server = createServer((socket) => {
      socket.on("error", () => undefined).resume();
      socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const service = openService({ endpoints: [`127.0.0.1:${port}`], prefix: newPrefix(), patienceMs: 300 });
    await expect(service.createLog("a")).rejects.toMatchObject({
      code: "NOQUORUM",
      message: expect.stringContaining("is this ZooKeeper?"),
    });
    await closeServices();
    await new Promise((resolve) => server.close(resolve));
  });
});
