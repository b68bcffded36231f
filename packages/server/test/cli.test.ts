/** The built command line, end to end: real processes, real signals, real files. */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect as connectSocket, type Socket } from "node:net";
import path from "node:path";
import { connect } from "@quipu/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ChildServer } from "../src/local-cell/child-server.ts";
import { runCli } from "./run-cli.ts";
import { temporaryDirectory } from "./temporary.ts";

const root = temporaryDirectory();
const started: ChildServer[] = [];

async function start(name: string, environment: Record<string, string> = {}): Promise<ChildServer> {
  const extraArguments = ["--log-level", "warn"];
  const server = await ChildServer.start({ dataDirectory: path.join(root, name), extraArguments, environment });
  started.push(server);
  return server;
}

afterAll(() => {
  for (const server of started) server.killNow();
});

async function openSocket(server: ChildServer): Promise<Socket> {
  const socket = connectSocket(server.respPort, "127.0.0.1");
  // It will be cut in the middle of things.
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

async function valueOf(server: ChildServer, key: string): Promise<bigint> {
  const client = await connect(server.url);
  try {
    return await client.counter(key).get();
  } finally {
    await client.close();
  }
}

test("the process itself: version on standard output, a wrong flag on standard error with exit code 2", async () => {
  expect(await runCli(["--version"])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  const wrong = await runCli(["start", "--dta", "x"]);
  expect(wrong).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining("Did you mean --data?") });
});

describe("quipu start", () => {
  test.each(["SIGTERM", "SIGINT"] as const)("%s loses nothing and exits with 0", async (signal) => {
    const server = await start(`stop-${signal}`);
    const client = await connect(server.url);
    await Promise.all(Array.from({ length: 300 }, () => client.counter("kept").add(1)));
    await client.close();
    const exit = await server.stop(signal);
    expect(exit).toMatchObject({ code: 0, signal: null });
    await server.restart();
    expect(await valueOf(server, "kept")).toBe(300n);
    await server.stop("SIGKILL");
  });

  test("a second signal ends the process at once, and loses nothing acknowledged either", async () => {
    const server = await start("impatient");
    const client = await connect(server.url);
    await client.counter("kept").add(7);
    await client.close();
    // Half a request holds the first, orderly stop up for seconds.
    const socket = connectSocket(Number(new URL(server.httpUrl).port), "127.0.0.1");
    socket.on("error", () => {});
    await once(socket, "connect");
    socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/cluster HTTP/1.1\r\nHost: x\r\n");
    await once(socket, "data");
    const exit = server.stop("SIGTERM");
    // The listeners are closed by the first signal; then it is surely at work.
    await expect.poll(() => canConnect(server.respPort), { timeout: 10_000, interval: 20 }).toBe(false);
    expect(await Promise.race([exit, server.stop("SIGTERM")])).toMatchObject({ code: 143 });
    await server.restart();
    expect(await valueOf(server, "kept")).toBe(7n);
    await server.stop("SIGKILL");
  });

  test("kill -9 in mid-flight keeps every acknowledged increment, and the directory can be taken again", async () => {
    const server = await start("killed");
    const socket = await openSocket(server);
    const batch = "*2\r\n$4\r\nINCR\r\n$4\r\nkept\r\n".repeat(50);
    let acknowledged = 0;
    let sent = 0;
    const enough = new Promise<void>((resolve) => {
      socket.on("data", (chunk) => {
        for (const byte of chunk) if (byte === 10) acknowledged += 1;
        if (acknowledged >= 2000) resolve();
        sent += 50;
        socket.write(batch);
      });
    });
    socket.write(batch);
    sent += 50;
    await enough;
    // Not events.once: that rejects on the ECONNRESET which a kill may bring.
    const closed = new Promise((resolve) => socket.once("close", resolve));
    await server.stop("SIGKILL");
    // Replies that were on their way still count as acknowledged.
    await closed;
    await server.restart();
    const value = Number(await valueOf(server, "kept"));
    expect(acknowledged).toBeGreaterThanOrEqual(2000);
    expect(value).toBeGreaterThanOrEqual(acknowledged);
    expect(value).toBeLessThanOrEqual(sent);
    await server.stop("SIGKILL");
  });

  test("a second start on the same data is refused and names the holder, whose work goes on", async () => {
    const server = await start("held");
    const second = await runCli(["start", "--data", path.join(root, "held"), "--resp-port", "0", "--http-port", "0"]);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(`process ${server.pid}`);
    expect(second.stderr).toContain("DATA_DIRECTORY_IN_USE");
    expect(await valueOf(server, "x")).toBe(0n);
    await server.stop("SIGKILL");
    // A stale `lock` file is no obstacle, and does not name the dead.
    await server.restart();
    await server.stop("SIGTERM");
  });

  test("a taken port is named, with how to find its holder", async () => {
    const server = await start("ports");
    const port = String(server.respPort);
    const resp = await runCli(["start", "--data", path.join(root, "other"), "--resp-port", port, "--http-port", "0"]);
    expect(resp).toMatchObject({ code: 1, stderr: expect.stringMatching(/port \d+.*PORT_IN_USE/s) });
    expect(resp.stderr).toContain(port);
    const http = await runCli(["start", "--data", path.join(root, "other"), "--http-port", port, "--resp-port", "0"]);
    expect(http.stderr).toContain(`ss -ltnp "sport = :${port}"`);
    expect(http.stderr).toContain("--http-port");
    await server.stop("SIGTERM");
  });
});

describe("client commands", () => {
  const token = "0123456789abcdef0123456789abcdef";
  let server: ChildServer;

  beforeAll(async () => {
    server = await start("clients", { QUIPU_TOKENS: token });
  });

  const withToken = (args: readonly string[]): ReturnType<typeof runCli> =>
    runCli([...args, "--endpoint", server.httpUrl], { QUIPU_TOKEN: token });

  test("status as table and as JSON", async () => {
    const table = await withToken(["status"]);
    expect(table).toMatchObject({ code: 0, stderr: "" });
    expect(table.stdout).toMatch(/^state +ready$/m);
    expect(table.stdout).toMatch(new RegExp(`^RESP +127\\.0\\.0\\.1:${server.respPort}$`, "m"));
    const json = JSON.parse((await withToken(["status", "--output", "json"])).stdout) as Record<string, unknown>;
    expect(json).toMatchObject({ ready: true, endpoints: { resp: { port: server.respPort } } });
  });

  test("without the token: exit code 1 and a hint", async () => {
    const result = await runCli(["status", "--endpoint", server.httpUrl]);
    expect(result).toMatchObject({ code: 1, stderr: expect.stringContaining("QUIPU_TOKEN") });
  });

  test("replay counts a log, says which lines are none, and shows no control characters", async () => {
    const hit = (target: string): string => `1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET ${target} HTTP/1.1" 200 5`;
    const lines = [hit("/a"), hit("/b"), "no access log", hit("/a"), "", hit("/\u001b[31mred"), hit("/a")];
    const file = path.join(root, "access.log");
    writeFileSync(file, `${lines.join("\n")}\n`);
    const table = await withToken(["replay", file, "--field", "path", "--prefix", "t:"]);
    expect(table.code).toBe(0);
    expect(table.stdout).toMatch(/^ +3 {2}\/a$/m);
    expect(table.stdout).toMatch(/5 hits of/);
    expect(table.stdout).toMatch(/2 lines are no access log.*line 3: no access log/);
    expect(table.stdout).not.toContain("\u001b");
    const again = await withToken(["replay", file, "--prefix", "t:", "--top", "1", "--output", "json"]);
    expect(JSON.parse(again.stdout)).toMatchObject({
      hits: 5,
      linesRefused: 2,
      firstRefused: { line: 3 },
      top: [{ value: "/a", key: "t:path:/a", count: "6" }],
    });
  });

  test("bench prints rate and latencies, and leaves no counter behind", async () => {
    const keysOf = async (): Promise<unknown> =>
      (JSON.parse((await withToken(["status", "--output", "json"])).stdout) as { shards: { keys: number }[] }).shards[0]
        ?.keys;
    const before = await keysOf();
    const result = await withToken(["bench", "--callers", "8", "--keys", "5", "--seconds", "1", "--output", "json"]);
    expect(result.code).toBe(0);
    const figures = JSON.parse(result.stdout) as Record<string, number>;
    expect(figures["adds"]).toBeGreaterThan(100);
    expect(figures["p99Ms"]).toBeGreaterThanOrEqual(figures["p50Ms"] as number);
    expect(await keysOf()).toBe(before);
  });

  test("a quipu:// endpoint is taken as it is", async () => {
    const endpoint = `quipu://:${token}@127.0.0.1:${server.respPort}`;
    const result = await runCli(["bench", "--seconds", "1", "--callers", "2", "--endpoint", endpoint]);
    expect(result).toMatchObject({ code: 0, stdout: expect.stringMatching(/^p99/m) });
  });
});
