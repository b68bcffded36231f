/**
 * What each way to get no result means, on members made up for it: a write is definite only if it surely was not done, a
 * read goes to the next member, and an error names the endpoint.
 */
import type { QuipuError } from "@quipu/core";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { etcdService } from "../src/mod.ts";
import { clock, encode, textOf } from "./harness.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const batchOne = "log/a/e/00000000000000000001";

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
    handler(request, response);
    request.resume();
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

test("a watch that etcd cancels, or that ends, begins again, and hints that something may be missed", async () => {
  const lines = [{ result: { created: true } }, { result: { canceled: true, compact_revision: "7" } }];
  const { endpoint, asked } = await member((request, response) => {
    if (request.url !== "/v3/watch") {
      const value = Buffer.from('{"quipu":"head","format":1,"log":"a","nextBatch":1,"tail":1}').toString("base64");
      const kvs = [{ key: Buffer.from("/quipu/log/a/t").toString("base64"), value, mod_revision: "5" }];
      answer(200, { succeeded: true, kvs })(request, response);
      return;
    }
    for (const line of lines) response.write(`${JSON.stringify(line)}\n`);
    if (asked.filter((url) => url === "/v3/watch").length > 1) response.end();
  });
  const service = etcdService({ endpoints: [endpoint], clock });
  const log = await service.openLog("a");
  let hints = 0;
  await new Promise<void>((resolve) => {
    const watch = log.watch((nextBatch) => {
      expect(nextBatch).toBeUndefined();
      hints += 1;
      if (hints < 3) return;
      watch.close();
      resolve();
    });
  });
  expect(asked.filter((url) => url === "/v3/watch").length).toBeGreaterThanOrEqual(3);
  await service.close();
});

test("a read that takes too long asks for less the next time, down to one batch", async () => {
  const limits: number[] = [];
  const { endpoint } = await member((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      const { limit } = JSON.parse(body) as { readonly limit?: number };
      if (limit !== undefined) limits.push(limit);
      // As the gateway is slow with large values.
      if (limit !== undefined && limit > 1) return;
      const kvs = [
        ["log/a/t", '{"quipu":"head","format":1,"log":"a","nextBatch":2,"tail":2}'],
        [batchOne, "bytes"],
      ];
      const shown = kvs.map(([key = "", value = ""]) => ({ key: encode(`/quipu/${key}`), value: encode(value) }));
      answer(200, { succeeded: true, kvs: limit === undefined ? shown.slice(0, 1) : shown.slice(1) })(
        request,
        response,
      );
    });
  });
  const service = etcdService({ endpoints: [endpoint], clock, requestTimeoutMs: 400, compactAfterMs: 0 });
  const log = await service.openLog("a");
  let found: readonly Uint8Array[] | undefined;
  while (found === undefined) found = await log.read(1, 8 * 1024 * 1024).catch(() => undefined);
  expect(found.map(textOf)).toEqual(["bytes"]);
  expect(new Set(limits)).toEqual(new Set([16, 4, 1]));
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
