/** The client's face: values, errors with outcomes, batching, limits, deadlines, closing. */
import {
  connect,
  type Client,
  type ClientOptions,
  batchesInFlightMax,
  keyBytesMax,
  operationsPerBatchMax,
} from "@quipu/client";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FakeServer } from "./fake-server.ts";
import { ManualClock } from "./manual-clock.ts";

let server: FakeServer;
const clients: Client[] = [];

beforeEach(async () => {
  server = new FakeServer();
  await server.start();
});

afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
  await server.stop();
});

async function open(options: ClientOptions = {}): Promise<Client> {
  const client = await connect(server.url, options);
  clients.push(client);
  return client;
}

const batches = (): string[][] => server.commands.filter((command) => command[0] === "Q.BATCH");

describe("values", () => {
  test("add, get, set, compareAndSet, delete", async () => {
    const counter = (await open()).counter("a");
    expect(await counter.get()).toBe(0n);
    expect(await counter.add()).toBe(1n);
    expect(await counter.add(-3)).toBe(-2n);
    expect(await counter.set(2n ** 62n)).toBeUndefined();
    expect(await counter.add(2n ** 62n - 1n)).toBe(2n ** 63n - 1n);
    expect(await counter.get()).toBe(2n ** 63n - 1n);
    expect(await counter.compareAndSet(5n, 6n)).toEqual({ ok: false, value: 2n ** 63n - 1n });
    expect(await counter.compareAndSet(2n ** 63n - 1n, 6n)).toEqual({ ok: true, value: 6n });
    expect(await counter.compareAndSet(null, 1n)).toEqual({ ok: false, value: 6n });
    expect(await counter.delete()).toBe(true);
    expect(await counter.delete()).toBe(false);
    expect(await counter.compareAndSet(4n, 1n)).toEqual({ ok: false, value: null });
    expect(await counter.compareAndSet(null, 1n)).toEqual({ ok: true, value: 1n });
    expect(await counter.get()).toBe(1n);
  });

  test("keys of any text", async () => {
    const client = await open();
    for (const key of ["", " ", "schlüssel", "日本", "a\r\nb", "😀".repeat(1000)]) {
      await client.counter(key).add(3n);
      expect(await client.counter(key).get()).toBe(3n);
      expect(server.store.values.get(key)).toBe(3n);
    }
  });

  test("errors of one operation leave its neighbours alone", async () => {
    const client = await open();
    const results = await Promise.allSettled([
      client.counter("stock").add(2n),
      client.counter("stock").add(-3n),
      client.counter("stock").add(-1n),
      client.counter("big").add(2n ** 63n - 1n),
      client.counter("big").add(1n),
    ]);
    expect(results.map((result) => (result.status === "fulfilled" ? result.value : result.reason))).toMatchObject([
      2n,
      { code: "OUT_OF_BOUNDS", outcome: "definite" },
      1n,
      2n ** 63n - 1n,
      { code: "OVERFLOW", outcome: "definite" },
    ]);
    expect(batches().length).toBe(1);
  });

  test("what is no 64-bit integer, and a key too long, are refused before they are sent", async () => {
    const client = await open();
    for (const wrong of [2n ** 63n, -(2n ** 63n) - 1n, 1.5, NaN, 2 ** 53]) {
      await expect(client.counter("a").add(wrong)).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
        outcome: "definite",
      });
      await expect(client.counter("a").compareAndSet(1n, wrong)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      await expect(client.counter("a").compareAndSet(wrong, 1n)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    }
    expect(() => client.counter("ü".repeat(keyBytesMax / 2 + 1))).toThrow(
      expect.objectContaining({ code: "KEY_TOO_LARGE" }),
    );
    for (const lone of ["\ud800", "a\udc00b"]) {
      expect(() => client.counter(lone)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
    }
    expect(batches()).toEqual([]);
  });
});

describe("batching", () => {
  test("one turn, one batch; program order kept; reads ride behind writes", async () => {
    const client = await open();
    const counter = client.counter("a");
    const results = await Promise.all([
      counter.add(1n),
      counter.get(),
      counter.add(1n),
      counter.get(),
      counter.delete(),
      counter.get(),
    ]);
    expect(results).toEqual([1n, 1n, 2n, 2n, true, 0n]);
    expect(batches().map((command) => command.slice(2))).toEqual([
      ["1", "1", "ADD", "a", "1", "GET", "a", "ADD", "a", "1", "GET", "a", "DEL", "a", "GET", "a"],
    ]);
  });

  test("reads by themselves take no number", async () => {
    const client = await open();
    await client.counter("a").add(7n);
    expect(await Promise.all([client.counter("a").get(), client.counter("b").get()])).toEqual([7n, 0n]);
    expect(server.commands.slice(-2)).toEqual([
      ["GET", "a"],
      ["GET", "b"],
    ]);
  });

  test("a read behind a write that is still in flight rides with a number", async () => {
    const client = await open();
    server.fault = () => (server.batches === 1 ? "hold" : "none");
    const add = client.counter("a").add(7n);
    await server.until(() => server.batches === 1);
    const get = client.counter("a").get();
    await server.until(() => server.batches === 2);
    server.release();
    expect(await Promise.all([add, get])).toEqual([7n, 7n]);
  });

  test("large turns are cut into batches, of which only some are in flight", async () => {
    server.fault = () => "hold";
    const client = await open({ silenceTimeoutMs: 1_000_000 });
    const count = operationsPerBatchMax * (batchesInFlightMax + 2);
    const adds = Array.from({ length: count }, () => client.counter("a").add());
    await server.until(() => batches().length === batchesInFlightMax);
    await new Promise((resolve) => setImmediate(resolve));
    expect(batches().length).toBe(batchesInFlightMax);
    server.fault = () => "none";
    server.dropAll();
    const values = await Promise.all(adds);
    expect(values).toEqual(Array.from({ length: count }, (_, index) => BigInt(index + 1)));
    expect(server.store.breaches).toEqual([]);
  });

  test("the order of calls is kept through a loss", async () => {
    let batch = 0;
    server.fault = () => (++batch === 1 ? "drop-before" : "none");
    const client = await open();
    const count = operationsPerBatchMax * (batchesInFlightMax + 2);
    const values = await Promise.all(Array.from({ length: count }, () => client.counter("a").add()));
    expect(values).toEqual(Array.from({ length: count }, (_, index) => BigInt(index + 1)));
    expect(server.drops).toBe(1);
  });

  test("more operations than allowed are refused, definite; the others are not disturbed", async () => {
    const client = await open({ operationsOpenMax: 100 });
    const adds = Array.from({ length: 150 }, () => client.counter("a").add());
    const settled = await Promise.allSettled(adds);
    expect(settled.filter((each) => each.status === "fulfilled").length).toBe(100);
    expect((settled[149] as PromiseRejectedResult).reason).toMatchObject({ code: "OVERLOADED", outcome: "definite" });
    expect(await client.counter("a").add()).toBe(101n);
  });
});

describe("deadlines", () => {
  test("sent and not answered: unknown; the late reply disturbs nobody", async () => {
    const clock = new ManualClock();
    const client = await open({ requestTimeoutMs: 1000, silenceTimeoutMs: 1_000_000, ports: { clock } });
    server.fault = () => "hold";
    const add = client.counter("a").add();
    await server.until(() => server.batches === 1);
    clock.advance(1000);
    await expect(add).rejects.toMatchObject({ code: "CONNECTION_LOST", outcome: "unknown" });
    server.fault = () => "none";
    const later = client.counter("b").add(5n);
    await server.until(() => server.batches === 2);
    server.release();
    expect(await later).toBe(5n);
    expect(server.connections).toBe(1);
    // The number of the abandoned batch is closed: its reply is not waited for any more.
    expect(batches().map((command) => command.slice(2, 4))).toEqual([
      ["1", "1"],
      ["2", "2"],
    ]);
  });

  test("never sent: definite", async () => {
    const clock = new ManualClock();
    const client = await open({ requestTimeoutMs: 1000, ports: { clock } });
    await server.stop();
    const add = client.counter("a").add();
    clock.advance(1000);
    await expect(add).rejects.toMatchObject({ code: "CONNECTION_LOST", outcome: "definite" });
    await server.start();
  });

  test("only refused: OVERLOADED, definite", async () => {
    const clock = new ManualClock();
    const client = await open({ requestTimeoutMs: 1000, backoffFirstMs: 2000, backoffMaxMs: 2000, ports: { clock } });
    server.fault = () => "error:OVERLOADED queue full";
    const add = client.counter("a").add();
    const watched = expect(add).rejects.toMatchObject({ code: "OVERLOADED", outcome: "definite" });
    // The refusal must have come in before time runs out: ask for something behind it.
    await server.until(() => server.batches === 1);
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(1000);
    await watched;
  });

  test("a silent connection is given up for another", async () => {
    const clock = new ManualClock();
    const client = await open({ requestTimeoutMs: 0, silenceTimeoutMs: 500, ports: { clock } });
    server.fault = () => "hold";
    const add = client.counter("a").add();
    await server.until(() => server.batches === 1);
    server.fault = () => "none";
    const { connections } = server;
    clock.advance(1000);
    const reconnecting = setInterval(() => clock.advance(10), 1);
    expect(await add).toBe(1n);
    clearInterval(reconnecting);
    expect(server.connections).toBe(connections + 1);
    expect(server.store.replayed).toBe(1);
  });
});

describe("errors of a whole batch", () => {
  test("a refusal that time does not heal fails its operations, definite", async () => {
    const client = await open();
    server.fault = () => "error:NOAUTH Authentication required.";
    await expect(client.counter("a").add()).rejects.toMatchObject({ code: "UNAUTHENTICATED", outcome: "definite" });
  });

  test("after an attempt without an answer the same refusal is unknown", async () => {
    const client = await open({ backoffFirstMs: 0, backoffMaxMs: 0 });
    let batch = 0;
    server.fault = () => (++batch === 1 ? "drop-after" : "error:NOAUTH Authentication required.");
    await expect(client.counter("a").add()).rejects.toMatchObject({ code: "UNAUTHENTICATED", outcome: "unknown" });
  });
});

describe("INDOUBT", () => {
  test("is repeated under the same number; what comes after it cannot be definite", async () => {
    const client = await open({ backoffFirstMs: 0, backoffMaxMs: 0 });
    let batch = 0;
    server.fault = () => (++batch === 1 ? "applied:INDOUBT gave up" : "error:SESSIONEXPIRED too late");
    await expect(client.counter("a").add()).rejects.toMatchObject({ code: "SESSION_EXPIRED", outcome: "unknown" });
    expect(server.store.values.get("a")).toBe(1n);
    expect(batches().map((command) => command.slice(1, 4))[0]).toEqual(
      batches().map((command) => command.slice(1, 4))[1],
    );
  });

  test("past the deadline: unknown", async () => {
    const clock = new ManualClock();
    const client = await open({ requestTimeoutMs: 1000, backoffFirstMs: 5000, backoffMaxMs: 5000, ports: { clock } });
    server.fault = () => "error:INDOUBT gave up";
    const failed = expect(client.counter("a").add()).rejects.toMatchObject({
      code: "CONNECTION_LOST",
      outcome: "unknown",
    });
    await server.until(() => server.batches === 1);
    clock.advance(1000);
    await failed;
  });
});

describe("hostile or foreign servers", () => {
  test("a reply that fits no batch ends the connection; the batch is asked for again", async () => {
    const client = await open({ backoffFirstMs: 0, backoffMaxMs: 0 });
    server.garble = 3;
    expect(await client.counter("a").add()).toBe(1n);
    expect(server.store.replayed).toBe(3);
    expect(server.connections).toBe(4);
  });

  test("operations wait through a time without a session", async () => {
    const client = await open({ backoffFirstMs: 0, backoffMaxMs: 0, sessionTtlMs: 1000 });
    await client.counter("a").add();
    server.store.nowMs += 1000;
    server.refuseSessions = "OVERLOADED no room for sessions";
    const add = client.counter("a").add();
    const refusals = (): number => server.commands.filter((command) => command[0] === "Q.SESSION").length;
    await server.until(() => refusals() >= 3);
    server.refuseSessions = undefined;
    expect(await add).toBe(2n);
  });
});

describe("close", () => {
  test("open operations fail: sent ones unknown, waiting ones definite; later calls are refused", async () => {
    const client = await open();
    server.fault = () => "hold";
    const sent = client.counter("a").add();
    await server.until(() => server.batches === 1);
    const waiting = client.counter("a").add();
    const closed = client.close();
    await expect(sent).rejects.toMatchObject({ code: "CONNECTION_LOST", outcome: "unknown" });
    await expect(waiting).rejects.toMatchObject({ code: "CONNECTION_LOST", outcome: "definite" });
    await closed;
    await expect(client.counter("a").add()).rejects.toMatchObject({ code: "CONNECTION_LOST", outcome: "definite" });
    await client.close();
  });
});

describe("connect", () => {
  test("sends the token; a refused one fails at once", async () => {
    clients.push(await connect(server.url.replace("//", "//:s%40cret@")));
    expect(server.commands[0]).toEqual(["HELLO", "3", "AUTH", "default", "s@cret"]);
    server.refuse = "WRONGPASS invalid username-password pair or user is disabled.";
    await expect(connect(server.url)).rejects.toMatchObject({ code: "UNAUTHENTICATED", outcome: "definite" });
  });

  test("a server without sessions is no Quipu", async () => {
    server.refuseSessions = "ERR unknown command 'Q.SESSION'";
    await expect(connect(server.url)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  test("nobody there: keeps trying, then says so", async () => {
    const { url } = server;
    await server.stop();
    await expect(connect(url, { connectTimeoutMs: 100, backoffFirstMs: 1 })).rejects.toMatchObject({
      code: "CONNECTION_LOST",
      outcome: "definite",
      message: expect.stringMatching(/no usable server at 127\.0\.0\.1:\d+ within 100 ms: .*ECONNREFUSED/),
    });
    await server.start();
  });

  test.each(["http://a:1", "quipu://", "nonsense", "redis://a:1/3", "quipu://a?tls=1", "quipu://:%zz@a:1"])(
    "%s is no address",
    async (url) => {
      await expect(connect(url)).rejects.toMatchObject({ code: "INVALID_CONFIGURATION" });
    },
  );

  test("options out of range are refused", async () => {
    await expect(connect(server.url, { requestTimeoutMs: -1 })).rejects.toMatchObject({
      code: "INVALID_CONFIGURATION",
    });
  });
});
