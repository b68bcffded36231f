/** Everything is bounded (P9): slow readers, half-open clients, malformed input, queues, keys, an overloaded replica. */
import type { ReplicaDoor } from "@quipu/cluster";
import { describe, expect, test } from "vitest";
import { openTestDoor } from "./resp-door.ts";
import { until } from "./until.ts";

const kibibyte = 1024;

describe("a slow reader", () => {
  test("is not read from while its replies pile up, and gets them all once it reads", async () => {
    const { client, door } = await openTestDoor({ limits: { outputPauseBytes: 64 * kibibyte } });
    const caller = await client();
    await caller.ask(`SET big ${"x".repeat(32 * kibibyte)}`);
    caller.socket.pause();
    const sentBefore = door.statistics.outputBytes;
    const gets = 400;
    caller.lines(...Array.from({ length: gets }, () => "GET big"), "PING");
    await until(() => door.statistics.commands > 2);
    for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
    // Socket buffers take a few MiB; the rest of the 12.8 MB was not even made.
    const made = door.statistics.outputBytes - sentBefore;
    expect(made).toBeLessThan((gets * 32 * kibibyte) / 2 + 8 * 1024 * kibibyte);
    caller.socket.resume();
    const reply = await caller.takeThrough("+PONG\r\n");
    expect(reply.length).toBe(gets * (32 * kibibyte + "$32768\r\n\r\n".length) + "+PONG\r\n".length);
  });

  test("is disconnected where replies that are due exceed the limit", async () => {
    const { client, door, appends } = await openTestDoor({
      limits: { outputPauseBytes: 64 * kibibyte, outputBytesMax: 256 * kibibyte },
    });
    const caller = await client();
    await caller.ask(`SET big ${"x".repeat(512 * kibibyte).slice(0, 60 * kibibyte)}`);
    appends.hold();
    caller.socket.pause();
    // Behind a held write all of them are pending, and come due together.
    caller.lines("INCR a", ...Array.from({ length: 600 }, () => "GET big"));
    await until(() => appends.waiting > 0 && door.statistics.commands > 600);
    appends.release();
    await until(() => door.connectionCount === 0);
    expect(door.statistics.slowReadersDisconnected).toBe(1);
  });
});

test("a reply that would be longer than 64 MiB is refused before it is made, and the connection goes on", async () => {
  const { client } = await openTestDoor();
  const caller = await client();
  await caller.ask(`SET big ${"x".repeat(60 * kibibyte)}`);
  const refused = await caller.ask(`MGET ${"big ".repeat(1_100)}`);
  expect(refused).toMatch(/^-ERR .*longer/);
  expect(refused.length).toBeLessThan(kibibyte);
  expect(await caller.ask("MGET none none")).toBe("*2\r\n$-1\r\n$-1\r\n");
});

describe("clients that go", () => {
  test("half-open: replies to what was sent before the end still come", async () => {
    const { client, appends, door } = await openTestDoor();
    const caller = await client();
    appends.hold();
    caller.lines("INCR a", "INCR a");
    caller.end();
    await until(() => appends.waiting > 0);
    appends.release();
    expect(await caller.closed()).toBe(":1\r\n:2\r\n");
    await until(() => door.connectionCount === 0);
  });

  test("a connection that breaks off disturbs nobody; its writes are made", async () => {
    const { client, appends, door } = await openTestDoor();
    const [going, staying] = [await client(), await client()];
    appends.hold();
    going.lines("INCR a");
    await until(() => appends.waiting > 0);
    going.destroy();
    staying.lines("INCR a");
    appends.release();
    expect(await staying.take(":2\r\n")).toBe(":2\r\n");
    await until(() => door.connectionCount === 1);
  });

  test("close() answers what is under way", async () => {
    const { client, door, appends } = await openTestDoor({ limits: { closeWaitMs: 10_000 } });
    const caller = await client();
    appends.hold();
    caller.lines("INCR a");
    await until(() => appends.waiting > 0);
    const closed = door.close();
    appends.release();
    expect(await caller.closed()).toBe(":1\r\n");
    await closed;
    expect(door.connectionCount).toBe(0);
  });
});

describe("malformed input", () => {
  test.each([
    ["*1\r\n!1\r\nx\r\n", "-ERR Protocol error: expected '$', got '!'\r\n"],
    ["*x\r\n", "-ERR Protocol error: invalid multibulk length\r\n"],
    ["*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length\r\n"],
    ["*1\r\n$999999999999\r\n", "-ERR Protocol error: invalid bulk length\r\n"],
    ["*999999999\r\n", "-ERR Protocol error: invalid multibulk length\r\n"],
    [`SET a "b\r\n`, "-ERR Protocol error: unbalanced quotes in request\r\n"],
  ])("%j is answered and ends the connection, others go on", async (input, reply) => {
    const { client } = await openTestDoor();
    const [broken, sound] = [await client(), await client()];
    broken.send(`PING\r\n${input}PING\r\n`);
    expect(await broken.closed()).toBe(`+PONG\r\n${reply}`);
    expect(await sound.ask("PING")).toBe("+PONG\r\n");
  });

  test("strangers get Redis' tight limits before AUTH", async () => {
    const { client } = await openTestDoor({}, { tokens: ["secret"] });
    const stranger = await client();
    stranger.send("*1\r\n$20000\r\n");
    expect(await stranger.closed()).toBe("-ERR Protocol error: unauthenticated bulk length\r\n");
  });
});

describe("limits with a name", () => {
  test("connections", async () => {
    const { client } = await openTestDoor({ limits: { connectionsMax: 2 } });
    const [one, two] = [await client(), await client()];
    await one.ask("PING");
    await two.ask("PING");
    const three = await client();
    expect(await three.closed()).toBe("-ERR max number of clients reached\r\n");
  });

  test("keys and values, on the fast path and off it", async () => {
    const { client } = await openTestDoor();
    const caller = await client();
    const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;
    const key = bulk("k".repeat(64 * kibibyte + 1));
    const tooLongKey = "-ERR the key is longer than 65536 bytes\r\n";
    const tooLongValue = "-ERR the value is longer than 1048576 bytes\r\n";
    for (const name of ["INCR", "GET", "DEL", "TTL"]) {
      caller.send(`*2\r\n${bulk(name)}${key}`);
      expect(await caller.take(tooLongKey)).toBe(tooLongKey);
    }
    const value = bulk("v".repeat(1024 * kibibyte + 1));
    caller.send(`*3\r\n${bulk("SET")}${bulk("a")}${value}*4\r\n${bulk("SETEX")}${bulk("a")}${bulk("9")}${value}`);
    expect(await caller.take(tooLongValue + tooLongValue)).toBe(tooLongValue + tooLongValue);
    expect(await caller.ask("DBSIZE")).toBe(":0\r\n");
  });

  test("commands and bytes of a MULTI", async () => {
    const { client } = await openTestDoor({ limits: { queuedCommandsMax: 2, queuedBytesMax: 100 } });
    const caller = await client();
    const refusal = "-OVERLOADED a transaction holds at most 2 commands and 100 bytes\r\n";
    caller.lines("MULTI", "INCR a", "INCR a", "INCR a", "EXEC", "MULTI", `SET a ${"x".repeat(100)}`, "EXEC", "GET a");
    const expected =
      `+OK\r\n+QUEUED\r\n+QUEUED\r\n${refusal}` +
      "-EXECABORT Transaction discarded because of previous errors.\r\n" +
      `+OK\r\n${refusal}-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n`;
    expect(await caller.take(expected)).toBe(expected);
  });

  test("watched keys", async () => {
    const { client } = await openTestDoor({ limits: { watchedKeysMax: 2 } });
    const caller = await client();
    expect(await caller.ask("WATCH a b c")).toBe("-OVERLOADED a connection watches at most 2 keys\r\n");
    expect(await caller.ask("WATCH a b")).toBe("+OK\r\n");
    expect(await caller.ask("WATCH c")).toBe("-OVERLOADED a connection watches at most 2 keys\r\n");
  });
});

describe("an overloaded replica", () => {
  /** The real replica behind a switch. */
  function switchable(replica: ReplicaDoor, state: { isOverloaded: boolean }): ReplicaDoor {
    return new Proxy(replica, {
      get(target, name) {
        if (name === "overloaded") return state.isOverloaded || target.overloaded;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  test("writes wait in the socket until it takes them again; reads go on", async () => {
    const state = { isOverloaded: false };
    const { client, door } = await openTestDoor({}, { wrap: (replica) => switchable(replica, state) });
    const [writer, reader] = [await client(), await client()];
    await writer.ask("INCR a");
    state.isOverloaded = true;
    writer.lines("INCR a", "GET a", "INCR a");
    await until(() => door.statistics.overloadWaits === 1);
    expect(await reader.ask("GET a")).toBe("$1\r\n1\r\n");
    expect(writer.received).toBe("");
    state.isOverloaded = false;
    const expected = ":2\r\n$1\r\n2\r\n:3\r\n";
    expect(await writer.take(expected)).toBe(expected);
  });

  test("a write that waited long enough goes to the replica, which refuses it in order", async () => {
    const { client, replica } = await openTestDoor({ limits: { overloadWaitMs: 20 } });
    const caller = await client();
    await caller.ask("INCR a");
    replica.close();
    caller.lines("INCR a", "PING");
    const expected = "-OVERLOADED the server is stopping\r\n+PONG\r\n";
    expect(await caller.take(expected)).toBe(expected);
  });
});
