/** The promise of the SDK: whatever the connection does, every acknowledged change was made exactly once. */
import { SeededRandom } from "@quipu/core";
import { type Client, connect } from "@quipu/client";
import { afterEach, describe, expect, test } from "vitest";
import { addMany, checkExact, FaultyProxy } from "@quipu/client/testing";
import { type Fault, FakeServer } from "./fake-server.ts";
import { ManualClock } from "./manual-clock.ts";

const impatient = { backoffFirstMs: 0, backoffMaxMs: 0, requestTimeoutMs: 0 } as const;

let server: FakeServer | undefined;
let client: Client | undefined;

afterEach(async () => {
  await client?.close();
  await server?.stop();
  client = undefined;
  server = undefined;
});

describe("exact through faults", () => {
  const faults: readonly Fault[] = [
    "drop-before",
    "drop-after",
    "drop-after",
    "drop-in-reply",
    "mute",
    "error:OVERLOADED queue full",
    "error:INDOUBT gave up",
    "applied:INDOUBT gave up",
  ];

  test.each([1, 2, 3])("seed %i: batches lost before, after and while being answered", async (seed) => {
    server = new FakeServer();
    await server.start();
    const random = new SeededRandom(seed);
    server.fault = () => (random.chance(2, 3) ? (faults[random.below(faults.length)] as Fault) : "none");
    client = await connect(server.url, impatient);
    const expected = await addMany(client, seed, 12, 60);
    server.fault = () => "none";
    await checkExact(client, expected);
    expect(server.store.breaches).toEqual([]);
    expect(server.drops).toBeGreaterThan(100);
    expect(server.store.replayed).toBeGreaterThan(50);
  });

  test.each([1, 2])("seed %i: connections lost with requests and replies unsent, torn or lost", async (seed) => {
    server = new FakeServer();
    await server.start();
    const proxy = new FaultyProxy(server.port, new SeededRandom(seed));
    await proxy.start();
    try {
      client = await connect(proxy.url, impatient);
      proxy.faults = { chance: 1, of: 6 };
      const expected = await addMany(client, seed, 12, 60);
      proxy.faults = { chance: 0, of: 1 };
      await checkExact(client, expected);
      expect(server.store.breaches).toEqual([]);
      expect(proxy.requestsLost).toBeGreaterThan(20);
      expect(proxy.repliesLost).toBeGreaterThan(20);
      expect(server.store.replayed).toBeGreaterThan(20);
    } finally {
      await proxy.stop();
    }
  });

  test("the connection drops a thousand times after applying and before replying", async () => {
    server = new FakeServer();
    await server.start();
    let batches = 0;
    server.fault = () => (++batches % 2 === 1 ? "drop-after" : "none");
    client = await connect(server.url, impatient);
    for (let add = 1n; add <= 1000n; add++) expect(await client.counter("visits").add()).toBe(add);
    expect(server.drops).toBe(1000);
    expect(server.store.replayed).toBe(1000);
    expect(server.store.values.get("visits")).toBe(1000n);
    expect(server.store.breaches).toEqual([]);
  });

  test("the server is away for a while, and comes back on its port with its sessions", async () => {
    server = new FakeServer();
    await server.start();
    client = await connect(server.url, impatient);
    const { port, store } = server;
    expect(await client.counter("a").add(5n)).toBe(5n);
    server.fault = () => "mute";
    const adds = [client.counter("a").add(1n), client.counter("a").add(1n)];
    await server.until(() => store.values.get("a") === 7n);
    await server.stop();
    const later = client.counter("a").add(10n);
    server = new FakeServer();
    Object.assign(server, { store });
    await server.start(port);
    expect(await Promise.all([...adds, later])).toEqual([6n, 7n, 17n]);
    expect(store.breaches).toEqual([]);
  });
});

describe("sessions", () => {
  test("a successor is used from half of its life on, numbers from 1", async () => {
    server = new FakeServer();
    await server.start();
    const clock = new ManualClock();
    client = await connect(server.url, { ...impatient, sessionTtlMs: 1000, ports: { clock } });
    await client.counter("a").add();
    await client.counter("a").add();
    clock.advance(500);
    server.store.nowMs += 500;
    await client.counter("a").add(); // Still under the old one: nobody waits for the renewal.
    await server.until(() => server?.store.sessionsMade === 2);
    await client.counter("a").add();
    await client.counter("a").add();
    const sent = server.commands.filter((command) => command[0] === "Q.BATCH").map((command) => command.slice(1, 4));
    const [first, second] = [`s1.${1_700_000_001_000}`, `s2.${1_700_000_001_500}`];
    expect(sent).toEqual([
      [first, "1", "1"],
      [first, "2", "2"],
      [first, "3", "3"],
      [second, "1", "1"],
      [second, "2", "2"],
    ]);
  });

  test("an expired session: what was never sent before goes under a new one", async () => {
    server = new FakeServer();
    await server.start();
    client = await connect(server.url, { ...impatient, sessionTtlMs: 1000 });
    await client.counter("a").add();
    server.store.nowMs += 1000;
    expect(await client.counter("a").add()).toBe(2n);
    expect(server.store.sessionsMade).toBe(2);
  });

  test("an expired session: what may have been applied fails with outcome unknown, never goes under a new one", async () => {
    server = new FakeServer();
    await server.start();
    client = await connect(server.url, { ...impatient, sessionTtlMs: 1000 });
    const { store } = server;
    server.fault = () => {
      store.nowMs += 600;
      return "drop-after";
    };
    // Applied at 600 ms without an answer; when it is repeated the session is over.
    const lost = client.counter("a").add();
    await server.until(() => store.values.get("a") === 1n);
    server.fault = () => "none";
    store.nowMs += 600;
    await expect(lost).rejects.toMatchObject({ code: "SESSION_EXPIRED", outcome: "unknown" });
    expect(await client.counter("a").add()).toBe(2n);
    expect(store.values.get("a")).toBe(2n);
    expect(store.breaches).toEqual([]);
  });
});
