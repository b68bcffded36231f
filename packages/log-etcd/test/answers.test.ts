/**
 * What each way to get no result means, on members made up for it: a write is definite only if it surely was not done, a
 * read goes to the next member, and an error names the endpoint.
 */
import type { QuipuError } from "@quipu/core";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { etcdService } from "../src/mod.ts";
import { clock } from "./harness.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A member that answers as `handler` says, and what it was asked. */
async function member(handler: Handler): Promise<{ readonly endpoint: string; readonly asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    request.resume();
    handler(request, response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

const answer =
  (status: number, body: unknown): Handler =>
  (_, response) =>
    void response.writeHead(status).end(typeof body === "string" ? body : JSON.stringify(body));
const says = (error: string, status = 503): Handler => answer(status, { error, message: error, code: 14 });
/** Claims the prefix, and is a log's head; writes are `handler`'s. */
const onWrite =
  (handler: Handler): Handler =>
  (request, response) => {
    if (request.url !== "/v3/kv/deleterange") return answer(200, { succeeded: true })(request, response);
    handler(request, response);
  };
/** Nobody listens there. */
async function nobody(): Promise<string> {
  const { endpoint } = await member(answer(200, {}));
  await new Promise((resolve) => servers.pop()?.close(resolve));
  return endpoint;
}

async function write(endpoints: readonly string[]): Promise<QuipuError | undefined> {
  const service = etcdService({ endpoints, clock, requestTimeoutMs: 300, connectTimeoutMs: 200, compactAfterMs: 0 });
  try {
    await service.blobs.remove("a");
    return undefined;
  } catch (error) {
    return error as QuipuError;
  } finally {
    await service.close();
  }
}

test.each([
  ["etcdserver: request timed out", "LOG_APPEND_UNKNOWN"],
  ["etcdserver: request timed out, possibly due to previous leader failure", "LOG_APPEND_UNKNOWN"],
  ["etcdserver: request timed out, possibly due to connection lost", "LOG_APPEND_UNKNOWN"],
  ["etcdserver: leader changed", "LOG_APPEND_UNKNOWN"],
  ["etcdserver: no leader", "LOG_APPEND_UNKNOWN"],
  ["etcdserver: server stopped", "LOG_APPEND_UNKNOWN"],
  ["context deadline exceeded", "LOG_APPEND_UNKNOWN"],
  ["something that etcd says one day", "LOG_APPEND_UNKNOWN"],
  ["etcdserver: mvcc: database space exceeded", "LOG_FULL"],
  ["etcdserver: too many requests", "NOQUORUM"],
  ["etcdserver: request is too large", "INVALID_CONFIGURATION"],
  ["etcdserver: permission denied", "INVALID_CONFIGURATION"],
])("a write that is answered with %s is %s", async (text, code) => {
  const { endpoint, asked } = await member(onWrite(says(text)));
  expect(await write([endpoint])).toMatchObject({ code, message: `etcd ${endpoint}: ${text}` });
  expect(asked.filter((url) => url === "/v3/kv/deleterange")).toHaveLength(1);
});

test("a write that nobody answers, or whose connection breaks, is unknown and sent once", async () => {
  const silent = await member(onWrite(() => undefined));
  expect(await write([silent.endpoint])).toMatchObject({ code: "LOG_APPEND_UNKNOWN", outcome: "unknown" });
  const broken = await member(onWrite((request) => void request.socket.destroy()));
  const other = await member(onWrite(answer(200, {})));
  expect(await write([broken.endpoint, other.endpoint])).toMatchObject({ code: "LOG_APPEND_UNKNOWN" });
  expect(other.asked).toEqual([]);
});

test("half an answer is none", async () => {
  const half = await member(
    onWrite((_, response) => {
      response.writeHead(200, { "content-length": 100 });
      response.write("{");
      setTimeout(() => response.destroy(), 20);
    }),
  );
  expect(await write([half.endpoint])).toMatchObject({ code: "LOG_APPEND_UNKNOWN" });
  const noJson = await member(onWrite(answer(200, "<html>")));
  expect(await write([noJson.endpoint])).toMatchObject({ code: "LOG_APPEND_UNKNOWN" });
});

test("a write that could not be sent goes to the next member; if there is none, it is definite", async () => {
  const gone = await nobody();
  const there = await member(onWrite(answer(200, {})));
  expect(await write([gone, there.endpoint])).toBeUndefined();
  const error = await write([gone]);
  expect(error).toMatchObject({ code: "NOQUORUM", outcome: "definite" });
  expect(error?.message).toMatch(`etcd ${gone}: connect ECONNREFUSED`);
});

test("a read goes to the next member, whatever the first one says that may pass", async () => {
  const there = await member((request, response) => {
    const body = request.url === "/v3/kv/range" ? {} : { succeeded: true };
    answer(200, body)(request, response);
  });
  for (const first of [says("etcdserver: leader changed"), says("etcdserver: no leader"), () => undefined]) {
    const { endpoint } = await member(first);
    const service = etcdService({ endpoints: [endpoint, there.endpoint], clock, requestTimeoutMs: 500 });
    expect(await service.registers.get("a")).toBeUndefined();
    await service.close();
  }
});

test("a member that stands still is left for the next one, and not asked first again", async () => {
  const still = await member(() => undefined);
  const there = await member(answer(200, { succeeded: true }));
  const endpoints = [still.endpoint, there.endpoint];
  const service = etcdService({ endpoints, clock, requestTimeoutMs: 400, compactAfterMs: 0 });
  for (let i = 0; i < 5; i++) await service.registers.get("a");
  expect(still.asked).toHaveLength(1);
  await service.close();
});

test("what is no etcd is INVALID_CONFIGURATION", async () => {
  const { endpoint } = await member(answer(404, "404 page not found"));
  expect(await write([endpoint])).toMatchObject({
    code: "INVALID_CONFIGURATION",
    message: `etcd ${endpoint}: HTTP 404 404 page not found`,
  });
});

test.each([
  ["no endpoints", { endpoints: [] }],
  ["no address", { endpoints: ["127.0.0.1:2379"] }],
  ["a prefix without a slash at its end", { endpoints: ["http://127.0.0.1:1"], prefix: "/quipu" }],
])("%s is INVALID_CONFIGURATION at once", (_, options) => {
  expect(() => etcdService({ clock, ...options })).toThrow(expect.objectContaining({ code: "INVALID_CONFIGURATION" }));
});
