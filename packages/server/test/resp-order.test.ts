/** Replies come in the order of the commands, whatever waits for the log, for a tail, or for nothing. */
import { describe, expect, test } from "vitest";
import { openTestDoor } from "./resp-door.ts";
import { turns, until } from "./until.ts";

describe("behind unfinished writes", () => {
  test("reads see the connection's own writes at their places, and local replies wait", async () => {
    const { client, appends } = await openTestDoor();
    const caller = await client();
    appends.hold();
    caller.lines(
      "INCR a",
      "GET a",
      "PING",
      "INCR a",
      "MGET a b",
      "CLIENT GETNAME",
      "DBSIZE",
      "GET a",
      "SET a x",
      "GET a",
    );
    await until(() => appends.waiting > 0);
    await turns(5);
    expect(caller.received).toBe("");
    appends.release();
    const expected =
      ":1\r\n$1\r\n1\r\n+PONG\r\n:2\r\n*2\r\n$1\r\n2\r\n$-1\r\n$-1\r\n:1\r\n$1\r\n2\r\n+OK\r\n$1\r\nx\r\n";
    expect(await caller.take(expected)).toBe(expected);
  });

  test("errors, QUEUED and refused transactions keep their places too", async () => {
    const { client, appends } = await openTestDoor();
    const caller = await client();
    appends.hold();
    caller.lines("INCR a", "FOO", "INCR a x", "MULTI", "INCR a", "GET a", "EXEC", "EXEC", "SELECT 1", "INCR a");
    await until(() => appends.waiting > 0);
    appends.release();
    const expected =
      ":1\r\n-ERR unknown command 'FOO', with args beginning with: \r\n" +
      "-ERR wrong number of arguments for 'incr' command\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:2\r\n$1\r\n2\r\n" +
      "-ERR EXEC without MULTI\r\n+OK\r\n:1\r\n";
    expect(await caller.take(expected)).toBe(expected);
  });

  test("HELLO changes the protocol only for what comes after it", async () => {
    const { client, appends } = await openTestDoor();
    const caller = await client();
    appends.hold();
    caller.lines("INCR a", "GET nope", "HELLO 3", "GET nope");
    await until(() => appends.waiting > 0);
    appends.release();
    const reply = await caller.takeThrough("_\r\n");
    expect(reply.startsWith(":1\r\n$-1\r\n%7\r\n")).toBe(true);
  });

  test("WAIT and QUIT answer once the writes before them are durable", async () => {
    const { client, appends } = await openTestDoor();
    const caller = await client();
    appends.hold();
    caller.lines("INCR a", "WAIT 1 0", "INCR a", "QUIT", "PING");
    await until(() => appends.waiting > 0);
    await turns(5);
    expect(caller.received).toBe("");
    appends.release();
    expect(await caller.closed()).toBe(":1\r\n:0\r\n:2\r\n+OK\r\n");
  });

  test("WATCH and EXEC in one piece: the versions asked for are the ones checked", async () => {
    const { client, appends } = await openTestDoor();
    const [caller, other] = [await client(), await client()];
    appends.hold();
    caller.lines("SET a 1", "WATCH a b", "MULTI", "INCR a", "EXEC", "WATCH a");
    await until(() => appends.waiting > 0);
    appends.release();
    const expected = "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n:2\r\n+OK\r\n";
    expect(await caller.take(expected)).toBe(expected);
    expect(await other.ask("INCR a")).toBe(":3\r\n");
    caller.lines("MULTI", "INCR a", "EXEC");
    expect(await caller.take("+OK\r\n+QUEUED\r\n*-1\r\n")).toBe("+OK\r\n+QUEUED\r\n*-1\r\n");
  });
});

describe("behind waiting reads", () => {
  test("reads wait together; a write, a local reply and an error wait for them", async () => {
    const { client, tails, setTailKnown } = await openTestDoor();
    const caller = await client();
    await caller.ask("SET a 1");
    setTailKnown(false);
    tails.hold();
    caller.lines("GET a", "EXISTS a nope", "INCR a", "GET a", "PING", "FOO", "GET a");
    await until(() => tails.waiting > 0);
    await turns(5);
    expect(caller.received).toBe("");
    tails.release();
    const expected =
      "$1\r\n1\r\n:1\r\n:2\r\n$1\r\n2\r\n+PONG\r\n-ERR unknown command 'FOO', with args beginning with: \r\n$1\r\n2\r\n";
    expect(await caller.take(expected)).toBe(expected);
  });

  test("a linearizable read sees what another connection was told before it began", async () => {
    const { client, setTailKnown } = await openTestDoor();
    const [writer, reader] = [await client(), await client()];
    setTailKnown(false);
    for (let count = 1; count <= 50; count++) {
      expect(await writer.ask("INCR a")).toBe(`:${count}\r\n`);
      reader.lines("GET a");
      const expected = `$${String(count).length}\r\n${count}\r\n`;
      expect(await reader.take(expected)).toBe(expected);
    }
  });

  test("a protocol error behind them is answered after them, then the connection ends", async () => {
    const { client, tails, setTailKnown } = await openTestDoor();
    const caller = await client();
    setTailKnown(false);
    tails.hold();
    caller.send("GET a\r\n*1\r\n!3\r\n");
    await until(() => tails.waiting > 0);
    tails.release();
    expect(await caller.closed()).toBe("$-1\r\n-ERR Protocol error: expected '$', got '!'\r\n");
  });
});

describe("read modes", () => {
  test("stale reads do not wait for the log", async () => {
    const { client, tails, setTailKnown } = await openTestDoor();
    const caller = await client();
    await caller.ask("SET a 1");
    setTailKnown(false);
    tails.hold();
    expect(await caller.ask("Q.READMODE stale")).toBe("+OK\r\n");
    expect(await caller.ask("GET a")).toBe("$1\r\n1\r\n");
  });

  test("session reads wait for the position given, and for what the connection has seen", async () => {
    const { client, replica, tails, setTailKnown } = await openTestDoor();
    const caller = await client();
    await caller.ask("SET a 1");
    setTailKnown(false);
    tails.hold();
    await caller.ask("Q.READMODE session");
    expect(await caller.ask("GET a")).toBe("$1\r\n1\r\n");
    const ahead = replica.nextPosition + 1;
    await caller.ask(`Q.READMODE session ${ahead}-0`);
    caller.lines("GET a");
    await turns(5);
    expect(caller.received).toBe("");
    const other = await client();
    await other.ask("SET a 2");
    await other.ask("SET a 3");
    expect(await caller.take("$1\r\n3\r\n")).toBe("$1\r\n3\r\n");
  });

  test("malformed modes are refused", async () => {
    const { client } = await openTestDoor();
    const caller = await client();
    expect(await caller.ask("Q.READMODE eventual")).toBe("-ERR syntax error\r\n");
    expect(await caller.ask("Q.READMODE session x")).toBe("-ERR a position is written lsn-index\r\n");
  });
});

describe("many connections", () => {
  test("pipelines longer than what may be pending are answered whole, in order", async () => {
    const { client } = await openTestDoor({ limits: { pendingCommandsMax: 16 } });
    const clients = await Promise.all(Array.from({ length: 8 }, () => client()));
    const commands = 500;
    const replies = await Promise.all(
      clients.map((caller, number) => {
        caller.lines(...Array.from({ length: commands }, () => `INCR key:${number}`), "PING");
        return caller.takeThrough("+PONG\r\n");
      }),
    );
    const expected = `${Array.from({ length: commands }, (_, index) => `:${index + 1}\r\n`).join("")}+PONG\r\n`;
    for (const reply of replies) expect(reply).toBe(expected);
  });
});
