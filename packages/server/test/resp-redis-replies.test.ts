/** Byte for byte what Redis answers: replies, errors, edge cases, RESP2 and RESP3. */
import { execFileSync, spawn } from "node:child_process";
import { createServer } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { redisReplies } from "./redis-replies.ts";
import { RawClient } from "./resp-client.ts";
import { afterTest, openTestDoor } from "./resp-door.ts";

type Conversation = keyof typeof redisReplies;
const conversations = Object.keys(redisReplies) as Conversation[];

/** The id in HELLO's reply is the connection's own. */
const withoutId = (reply: string): string => reply.replace(/(id\r\n:)\d+/, "$1N");

/** Commands that get no reply, or the last one. */
const isLast = (command: string): boolean => command === "QUIT" || command === "CLIENT REPLY OFF";

async function converse(client: RawClient, conversation: Conversation): Promise<readonly (readonly string[])[]> {
  await client.ask("FLUSHALL");
  const said: (readonly string[])[] = [];
  let isMulti = false;
  for (const [command, expected] of redisReplies[conversation]) {
    if (command === "MULTI") isMulti = true;
    if (command === "EXEC" || command === "DISCARD" || command === "RESET") isMulti = false;
    // A marker would be queued inside MULTI, and after the last command there is nobody to answer it.
    if (isMulti || isLast(command)) {
      client.lines(command);
      said.push([command, withoutId(await client.take(expected))]);
    } else {
      said.push([command, withoutId(await client.ask(command))]);
    }
  }
  return said;
}

describe("our replies", () => {
  test.each(conversations)("%s: are those of Redis 7.0.15", async (conversation) => {
    const { client } = await openTestDoor();
    expect(await converse(await client(), conversation)).toEqual(redisReplies[conversation]);
  });

  test("are the same when all commands come in one piece", async () => {
    const { client } = await openTestDoor();
    const whole = await client();
    const exchanges = redisReplies.strings;
    const expected = exchanges.map(([, reply]) => reply).join("");
    whole.lines("FLUSHALL", ...exchanges.map(([command]) => command));
    expect(await whole.take(`+OK\r\n${expected}`)).toBe(`+OK\r\n${expected}`);
  });

  test("are the same when every byte comes alone", async () => {
    const { client } = await openTestDoor();
    const slow = await client();
    for (const byte of "*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*2\r\n$3\r\nget\r\n$1\r\na\r\n") {
      slow.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await slow.take(":1\r\n$1\r\n1\r\n")).toBe(":1\r\n$1\r\n1\r\n");
  });
});

describe.skipIf(!hasRedis())("the table itself (skipped where redis-server 7.0 is not installed)", () => {
  test.each(conversations)("%s: is what a real Redis answers", async (conversation) => {
    const client = await startRedis();
    expect(await converse(client, conversation)).toEqual(redisReplies[conversation]);
  });
});

function hasRedis(): boolean {
  try {
    return execFileSync("redis-server", ["--version"], { encoding: "utf8" }).includes("v=7.0.");
  } catch {
    return false;
  }
}

async function startRedis(): Promise<RawClient> {
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), "quipu-redis-"));
  const redis = spawn("redis-server", ["--port", String(port), "--save", "", "--dir", directory], { stdio: "ignore" });
  const exited = new Promise((resolve) => redis.once("exit", resolve));
  afterTest(async () => {
    redis.kill("SIGKILL");
    await exited;
    rmSync(directory, { recursive: true, force: true });
  });
  for (;;) {
    try {
      const client = await RawClient.open(port);
      afterTest(() => client.destroy());
      return client;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== "object" || address === null) throw new Error("no port");
  return address.port;
}
