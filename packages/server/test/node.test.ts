/** The whole node in this process: state through restarts, the lock, what a failed start leaves behind. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { connect } from "@quipu/client";
import { expect, test } from "vitest";
import type { Configuration } from "../src/config/settings.ts";
import { silentLog } from "../src/log.ts";
import { openNode, type QuipuNode } from "../src/node.ts";
import { temporaryDirectory } from "./temporary.ts";

const root = temporaryDirectory();

function open(name: string, changes: Partial<Configuration> = {}): Promise<QuipuNode> {
  const configuration: Configuration = {
    dataDirectory: path.join(root, name),
    bind: "127.0.0.1",
    respPort: 0,
    httpPort: 0,
    allowFlush: false,
    checkpointSeconds: 5,
    logLevel: "silent",
    tokens: [],
    cell: undefined,
    engine: undefined,
    service: { endpoints: undefined, prefix: undefined, user: undefined, tls: undefined },
    ...changes,
  };
  return openNode({
    configuration,
    log: silentLog,
    onFatal: (error) => {
      throw error;
    },
  });
}

const respUrl = (node: QuipuNode, token = ""): string =>
  `quipu://${token === "" ? "" : `:${token}@`}127.0.0.1:${node.endpoints.resp.port}`;
const httpUrl = (node: QuipuNode, target: string): string => `http://127.0.0.1:${node.endpoints.http.port}${target}`;

test("counts, restarts, and goes on counting: same state, next incarnation", async () => {
  const first = await open("restart");
  const client = await connect(respUrl(first));
  await Promise.all(Array.from({ length: 1000 }, (_, index) => client.counter(`c${index % 7}`).add(1)));
  await client.close();
  const before = first.status();
  expect(before).toMatchObject({ node: 1, incarnation: 1, ready: true, engine: "local" });
  expect(before.shards[0]?.keys).toBe(7);
  await first.close();

  const second = await open("restart");
  const after = second.status();
  expect(after.incarnation).toBe(2);
  expect(after.shards[0]?.keys).toBe(7);
  const again = await connect(respUrl(second));
  expect(await again.counter("c0").get()).toBe(143n);
  expect(await again.counter("c0").add(1)).toBe(144n);
  await again.close();
  const overHttp = (await (await fetch(httpUrl(second, "/v1/counters/c0"))).json()) as { readonly value: string };
  expect(overHttp.value).toBe("144");
  const metrics = await (await fetch(httpUrl(second, "/metrics"))).text();
  expect(metrics).toMatch(/^quipu_keys\{shard="0"\} 7$/m);
  const page = readFileSync(path.resolve(import.meta.dirname, "../../../docs/http.md"), "utf8");
  const documented = new Set(page.match(/quipu_\w+/g));
  expect(new Set([...metrics.matchAll(/^# TYPE (quipu_\w+)/gm)].map((match) => match[1]))).toEqual(documented);
  expect(metrics).toMatch(/^quipu_disk_wal_fsync_duration_seconds_count [1-9]/m);
  await second.close();
});

test("a second node on the same directory is refused and told who holds it; the first one goes on", async () => {
  const node = await open("held");
  const holder = path.join(root, "held", "lock");
  expect(JSON.parse(readFileSync(holder, "utf8"))).toMatchObject({ pid: process.pid });
  await expect(open("held")).rejects.toMatchObject({
    code: "DATA_DIRECTORY_IN_USE",
    message: expect.stringContaining("this very process"),
  });
  const client = await connect(respUrl(node));
  expect(await client.counter("x").add(1)).toBe(1n);
  await client.close();
  await node.close();
  expect(existsSync(holder)).toBe(false);
});

test("a start that fails leaves nothing open", async () => {
  const blocker = await open("blocker");
  const { port } = blocker.endpoints.http;
  await expect(open("failed", { httpPort: port })).rejects.toMatchObject({ code: "PORT_IN_USE" });
  await expect(open("failed", { respPort: port })).rejects.toMatchObject({ code: "PORT_IN_USE" });
  const node = await open("failed");
  await node.close();
  await blocker.close();
});

test("a data directory that cannot be one", async () => {
  writeFileSync(path.join(root, "a-file"), "");
  await expect(open("a-file")).rejects.toMatchObject({ code: "DATA_DIRECTORY_UNUSABLE" });
  await expect(open("a-file/below")).rejects.toMatchObject({ code: "DATA_DIRECTORY_UNUSABLE" });
});

test.runIf(existsSync("/proc/self"))("a parent that takes no directory is refused, where Node's mkdir loops", () => {
  // In a process of its own: the bug would block this one, and no timeout of a test could end it.
  const start = spawnSync(
    process.execPath,
    [path.resolve(import.meta.dirname, "../bin/quipu.js"), "start", "--data", "/proc/self/x/y", "--http-port", "0"],
    { encoding: "utf8", timeout: 20_000 },
  );
  expect(start.stderr).toContain("DATA_DIRECTORY_UNUSABLE");
  expect(start.status).toBe(1);
});

test("a directory is made with those above it, and used again", async () => {
  for (const value of [1n, 2n]) {
    const node = await open("one/two/three");
    const client = await connect(respUrl(node));
    expect(await client.counter("x").add(1)).toBe(value);
    await client.close();
    await node.close();
  }
});

test("a directory that lost a part is refused, not started anew", async () => {
  const node = await open("whole");
  const client = await connect(respUrl(node));
  await client.counter("x").add(1);
  await client.close();
  await node.close();
  const copy = (name: string, ...without: readonly string[]): string => {
    cpSync(path.join(root, "whole"), path.join(root, name), { recursive: true });
    for (const part of without) rmSync(path.join(root, name, part), { recursive: true });
    return name;
  };
  await expect(open(copy("no-wal", "wal"))).rejects.toMatchObject({ code: "LOG_CORRUPT" });
  await expect(open(copy("store-only", "wal", "metadata"))).rejects.toMatchObject({
    code: "LOG_CORRUPT",
    message: expect.stringContaining("Restore the data directory as a whole"),
  });
  await expect(open(copy("no-metadata", "metadata"))).rejects.toMatchObject({ code: "LOG_CORRUPT" });
  await expect(open(copy("wal-only", "metadata", "store"))).rejects.toMatchObject({ code: "LOG_CORRUPT" });
  await (await open(copy("all"))).close();
});

test("tokens guard both doors", async () => {
  const token = "0123456789abcdef0123456789abcdef";
  const node = await open("guarded", { tokens: [token] });
  await expect(connect(respUrl(node, "wrong-token-wrong-token"))).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  const client = await connect(respUrl(node, token));
  expect(await client.counter("x").add(2)).toBe(2n);
  await client.close();
  expect((await fetch(httpUrl(node, "/v1/counters/x"))).status).toBe(401);
  const headers = { authorization: `Bearer ${token}` };
  expect((await fetch(httpUrl(node, "/v1/counters/x"), { headers })).status).toBe(200);
  expect((await fetch(httpUrl(node, "/readyz"))).status).toBe(200);
  await node.close();
});

test("closing answers what is under way", async () => {
  const node = await open("closing");
  const client = await connect(respUrl(node), { requestTimeoutMs: 5000 });
  const adds = Array.from({ length: 500 }, () => client.counter("x").add(1));
  await adds[0];
  const closing = node.close();
  // Those that reached the server are answered; the rest wait in the client for a server that returns.
  await closing;
  await client.close();
  const settled = await Promise.allSettled(adds);
  const acknowledged = settled.filter((result) => result.status === "fulfilled").length;
  const again = await open("closing");
  const reader = await connect(respUrl(again));
  expect(Number(await reader.counter("x").get())).toBeGreaterThanOrEqual(acknowledged);
  await reader.close();
  await again.close();
});
