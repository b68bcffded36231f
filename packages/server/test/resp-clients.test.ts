/** Unchanged clients: ioredis, node-redis, redis-cli, redis-benchmark, with the handshakes they really make. */
import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { describe, expect, test } from "vitest";
import { afterTest, openTestDoor } from "./resp-door.ts";

const run = promisify(execFile);

function isInstalled(program: string): boolean {
  try {
    execFileSync(program, ["--version"]);
    return true;
  } catch {
    return false;
  }
}

describe("ioredis", () => {
  async function ioredis(options: Record<string, unknown> = {}, tokens: readonly string[] = []): Promise<Redis> {
    const { port } = await openTestDoor({}, { tokens });
    const redis = new Redis({ port, host: "127.0.0.1", ...options });
    afterTest(() => redis.disconnect());
    return redis;
  }

  test("counts, sets, expires, scans", async () => {
    const redis = await ioredis();
    expect(await redis.incr("a")).toBe(1);
    expect(await redis.incrby("a", 41)).toBe(42);
    expect(await redis.get("a")).toBe("42");
    expect(await redis.get("nope")).toBeNull();
    expect(await redis.set("s", "x", "EX", 100, "NX")).toBe("OK");
    expect(await redis.ttl("s")).toBe(100);
    expect(await redis.mget("a", "s", "nope")).toEqual(["42", "x", null]);
    expect(await redis.incrbyfloat("f", 0.5)).toBe("0.5");
    await redis.mset(Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`key:${index}`, index])));
    const found: string[] = [];
    for await (const keys of redis.scanStream({ match: "key:*", count: 7 })) found.push(...(keys as string[]));
    expect(found.toSorted()).toEqual(Array.from({ length: 300 }, (_, index) => `key:${index}`).toSorted());
    await expect(redis.incr("s")).rejects.toThrow("ERR value is not an integer or out of range");
    await expect(redis.call("nonsense")).rejects.toThrow("unknown command");
  });

  test("auto-pipelines 5,000 concurrent increments", async () => {
    const redis = await ioredis({ enableAutoPipelining: true });
    const values = await Promise.all(Array.from({ length: 5_000 }, () => redis.incr("hot")));
    expect(values).toEqual(Array.from({ length: 5_000 }, (_, index) => index + 1));
  });

  test("runs transactions and watches", async () => {
    const redis = await ioredis();
    expect(await redis.multi().incr("a").get("a").ping().exec()).toEqual([
      [null, 1],
      [null, "1"],
      [null, "PONG"],
    ]);
    await redis.watch("a");
    const other = redis.duplicate();
    afterTest(() => other.disconnect());
    await other.incr("a");
    expect(await redis.multi().incr("a").exec()).toBeNull();
  });

  test("authenticates, and is told when it does not", async () => {
    const redis = await ioredis({ password: "secret" }, ["secret"]);
    expect(await redis.incr("a")).toBe(1);
    const stranger = await ioredis({ lazyConnect: true, retryStrategy: null }, ["secret"]);
    stranger.on("error", () => {});
    await expect(stranger.incr("a")).rejects.toThrow(/NOAUTH|closed/);
  });

  test("selects a database, names itself, reads INFO", async () => {
    const redis = await ioredis({ db: 3, connectionName: "orders" });
    await redis.set("a", "1");
    expect(await redis.client("GETNAME")).toBe("orders");
    expect(await redis.info("keyspace")).toContain("db3:keys=1");
  });
});

describe("node-redis", () => {
  test.each([2, 3] as const)("RESP%i: counts, transacts, scans, reads maps", async (RESP) => {
    const { port } = await openTestDoor();
    const client = createClient({ RESP, socket: { host: "127.0.0.1", port } });
    client.on("error", () => {});
    await client.connect();
    afterTest(() => client.destroy());
    expect(await client.incr("a")).toBe(1);
    expect(await client.get("a")).toBe("1");
    expect(await client.get("nope")).toBeNull();
    expect(await client.set("a", "5", { condition: "XX", GET: true })).toBe("1");
    expect(await Promise.all(Array.from({ length: 500 }, () => client.incr("b")))).toHaveLength(500);
    expect(await client.get("b")).toBe("500");
    expect(await client.multi().incr("a").get("a").exec()).toEqual([6, "6"]);
    expect({ ...(await client.configGet("appendonly")) }).toEqual({ appendonly: "yes" });
    const found: string[] = [];
    for await (const keys of client.scanIterator()) found.push(...keys);
    expect(found.toSorted()).toEqual(["a", "b"]);
    expect(await client.sendCommand(["Q.BOUND", "a", "MAX", "6"])).toEqual([null, 6]);
    await expect(client.incr("a")).rejects.toThrow("OUTOFBOUNDS");
    await expect(client.sendCommand(["NOPE"])).rejects.toThrow("unknown command");
    expect(await client.commandCount()).toBe((await client.commandList()).filter((name) => !name.includes("|")).length);
  });

  test("authenticates", async () => {
    const { port } = await openTestDoor({}, { tokens: ["secret"] });
    const client = createClient({ password: "secret", socket: { host: "127.0.0.1", port } });
    await client.connect();
    afterTest(() => client.destroy());
    expect(await client.incr("a")).toBe(1);
    const stranger = createClient({ password: "wrong", socket: { host: "127.0.0.1", port, reconnectStrategy: false } });
    stranger.on("error", () => {});
    await expect(stranger.connect()).rejects.toThrow("WRONGPASS");
  });
});

describe.skipIf(!isInstalled("redis-cli"))("redis-cli (skipped where it is not installed)", () => {
  test("answers as with Redis, in RESP2 and RESP3", async () => {
    const { port } = await openTestDoor();
    const cli = async (...words: readonly string[]): Promise<string> =>
      (await run("redis-cli", ["-p", String(port), ...words])).stdout;
    expect(await cli("INCR", "visits")).toBe("1\n");
    expect(await cli("-3", "GET", "visits")).toBe("1\n");
    expect(await cli("--no-raw", "GET", "nope")).toBe("(nil)\n");
    expect(await cli("--no-raw", "-3", "CONFIG", "GET", "save")).toBe('1# "save" => ""\n');
    expect(await cli("-n", "2", "DBSIZE")).toBe("0\n");
    expect(await cli("--scan")).toBe("visits\n");
    expect(await cli("-r", "3", "INCR", "visits")).toBe("2\n3\n4\n");
    expect(await cli("HELLO", "9")).toContain("NOPROTO unsupported protocol version");
  });
});

describe.skipIf(!isInstalled("redis-benchmark"))("redis-benchmark (skipped where it is not installed)", () => {
  test.each(["1", "16"])("runs with -P %s, and every increment counts", async (pipeline) => {
    const { port, client } = await openTestDoor();
    const requests = 4_000;
    const { stdout } = await run("redis-benchmark", [
      ...["-p", String(port), "-t", "ping,set,get,incr,mset", "-c", "20", "-P", pipeline, "-n", String(requests), "-q"],
    ]);
    for (const name of ["SET", "GET", "INCR", "MSET"]) expect(stdout).toContain(name);
    const count = String(requests);
    expect(await (await client()).ask("GET counter:__rand_int__")).toBe(`$${count.length}\r\n${count}\r\n`);
  });
});
