/** The main promise against the real server process: whatever the connection or the process does, counts are exact. */
import path from "node:path";
import { connect, type Client } from "@quipu/client";
import { addMany, checkExact, FaultyProxy } from "@quipu/client/testing";
import { SeededRandom } from "@quipu/core";
import { ChildServer } from "quipu/testing";
import { afterAll, expect, test } from "vitest";
import { temporaryDirectory } from "./temporary.ts";

const impatient = { backoffFirstMs: 0, backoffMaxMs: 20, requestTimeoutMs: 0 } as const;
const root = temporaryDirectory();
const servers: ChildServer[] = [];

async function startServer(name: string): Promise<ChildServer> {
  const server = await ChildServer.start({ dataDirectory: path.join(root, name) });
  servers.push(server);
  return server;
}

async function withClient(url: string, work: (client: Client) => Promise<void>): Promise<void> {
  const client = await connect(url, impatient);
  try {
    await work(client);
  } finally {
    await client.close();
  }
}

afterAll(async () => {
  for (const server of servers) await server.stop("SIGKILL");
});

test("the connection drops thousands of times after the server applied and before it replied", async () => {
  const server = await startServer("dropped-replies");
  const proxy = new FaultyProxy(server.respPort, new SeededRandom(1), "replies");
  await proxy.start();
  const drops = 2_000;
  await withClient(proxy.url, async (client) => {
    proxy.faults = { chance: 1, of: 2 };
    let expected = 0n;
    // Every value is seen exactly once and in order: nothing lost, nothing twice.
    while (proxy.repliesLost < drops) expect(await client.counter("visits").add()).toBe(++expected);
    proxy.faults = { chance: 0, of: 1 };
    expect(await client.counter("visits").get()).toBe(expected);
  });
  await proxy.stop();
});

test.each([1, 2])("seed %i: requests and replies lost or torn, many callers, many keys", async (seed) => {
  const server = await startServer(`torn-${seed}`);
  const proxy = new FaultyProxy(server.respPort, new SeededRandom(seed));
  await proxy.start();
  await withClient(proxy.url, async (client) => {
    proxy.faults = { chance: 1, of: 6 };
    const expected = await addMany(client, seed, 12, 60);
    proxy.faults = { chance: 0, of: 1 };
    await checkExact(client, expected);
  });
  expect(proxy.requestsLost).toBeGreaterThan(20);
  expect(proxy.repliesLost).toBeGreaterThan(20);
  await proxy.stop();
});

test("kill -9 again and again while callers add: every acknowledged add is there, every retry counted once", async () => {
  const server = await startServer("killed");
  await withClient(server.url, async (client) => {
    let done = false;
    const work = addMany(client, 7, 16, 400).finally(() => (done = true));
    let kills = 0;
    while (!done && kills < 6) {
      // Some work between two kills, whatever the machine's speed: wait for progress, not for time.
      const before = await client.counter("progress").add();
      while (!done && (await client.counter("progress").add()) < before + 40n);
      await server.stop("SIGKILL");
      await server.restart();
      kills += 1;
    }
    const expected = await work;
    expect(kills).toBeGreaterThanOrEqual(2);
    await checkExact(client, expected);
  });
});
