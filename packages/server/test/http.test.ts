/** The HTTP front door on a real state machine: requests injected, and once through a real socket. */
import { QuipuError } from "@quipu/core";
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import type { Replica } from "@quipu/cluster";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Authenticator } from "../src/authenticator.ts";
import type { LightMyRequestResponse } from "fastify";
import type { HttpApplication } from "../src/http/application.ts";
import { createHttpApplication, type HttpDoorOptions, startHttpDoor } from "../src/http/http-door.ts";
import { silentLog } from "../src/log.ts";
import { Metrics } from "../src/metrics.ts";
import type { NodeStatus } from "../src/node-status.ts";
import { memoryReplica } from "./memory-replica.ts";

const status: NodeStatus = {
  version: "1.2.3",
  node: 1,
  incarnation: 2,
  uptimeSeconds: 3,
  ready: true,
  overloaded: false,
  endpoints: { resp: { host: "127.0.0.1", port: 7379 }, http: { host: "127.0.0.1", port: 7380 } },
  engine: "memory",
  chain: [{ base: "1", engine: "memory", end: null }],
  shards: [
    {
      shard: 0,
      appliedPosition: "9007199254740993",
      tailPosition: "8",
      checkpointedPosition: "5",
      logTimeMs: "1700000000000",
      keys: 4,
      keysWithExpiry: 1,
      sessions: 2,
      idempotencyEntries: 3,
      expiredKeys: 6,
      stateHash: "0123456789abcdef",
      dirtyEntries: 0,
      queuedCommands: 0,
      queuedBytes: 0,
      recordsApplied: 7,
      checkpoints: 1,
      longestCheckpointSliceMs: 0.5,
    },
  ],
  cell: null,
  limits: { keysMax: 10 },
};

const noCell = (): Promise<never> => Promise.reject(new QuipuError("INVALID_ARGUMENT", "not a cell"));

let replica: Replica;
let options: HttpDoorOptions;
let application: HttpApplication;
let nextKey = 0;
/** A counter of each test's own. */
let key = "";

beforeAll(async () => {
  replica = await memoryReplica();
  const metrics = new Metrics();
  metrics.watch(() => status);
  options = {
    replica,
    authenticator: new Authenticator([]),
    status: () => status,
    metrics,
    operate: noCell,
    log: silentLog,
  };
  application = await createHttpApplication(options);
});

afterAll(async () => {
  await application.close();
  replica.close();
});

beforeEach(() => {
  key = `key-${nextKey++}`;
});

interface Reply {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly headers: Record<string, unknown>;
}

async function send(
  method: "GET" | "POST" | "PUT" | "DELETE",
  url: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const payload = body === undefined ? {} : { payload: body as object };
  const response = await application.inject({ method, url, headers, ...payload });
  return { status: response.statusCode, body: response.json(), headers: response.headers };
}

const at = (name: string): string => `/v1/counters/${encodeURIComponent(name)}`;
const add = (name: string, delta: string, headers?: Record<string, string>): Promise<Reply> =>
  send("POST", `${at(name)}:add`, { delta }, headers);
const set = (name: string, value: string, headers?: Record<string, string>): Promise<Reply> =>
  send("PUT", at(name), { value }, headers);

function expectProblem(reply: Reply, statusCode: number, code: string, outcome = "definite"): void {
  expect(reply.body).toMatchObject({ status: statusCode, code, outcome, type: `urn:quipu:error:${code}` });
  expect(reply.status).toBe(statusCode);
  expect(reply.headers["content-type"]).toMatch(/^application\/problem\+json/);
}

describe("counters", () => {
  test("add, read, set, delete", async () => {
    const added = await add(key, "5");
    expect(added.status).toBe(200);
    expect(added.body).toMatchObject({ key, value: "5", min: null, max: null, expiresAtMs: null, shard: 0 });
    expect(added.body["version"]).toBe(`${String(added.body["position"])}-1`);
    expect(added.headers["etag"]).toBe(`"${String(added.body["version"])}"`);
    expect((await add(key, "-7")).body["value"]).toBe("-2");
    const read = await send("GET", at(key));
    expect(read.body).toMatchObject({ value: "-2" });
    expect((await set(key, "10")).body["value"]).toBe("10");
    expect((await send("DELETE", at(key))).body).toMatchObject({ key, deleted: true });
    expect((await send("DELETE", at(key))).body).toMatchObject({ deleted: false });
    expectProblem(await send("GET", at(key)), 404, "NOT_FOUND");
  });

  test("values are exact to 64 bits, and beyond them nothing changes", async () => {
    expect((await set(key, "9223372036854775806")).status).toBe(200);
    expect((await add(key, "1")).body["value"]).toBe("9223372036854775807");
    expectProblem(await add(key, "1"), 409, "OVERFLOW");
    expect((await send("GET", at(key))).body["value"]).toBe("9223372036854775807");
    expectProblem(await add(key, "9223372036854775808"), 400, "INVALID_ARGUMENT");
  });

  test.each([[1], ["1.5"], ["+1"], ["01"], [""], ["-0"], [null]])("delta %j is refused", async (delta) => {
    expectProblem(await send("POST", `${at(key)}:add`, { delta }), 400, "INVALID_ARGUMENT");
  });

  test("an unknown member, an empty body and broken JSON are refused", async () => {
    expectProblem(await send("POST", `${at(key)}:add`, { delta: "1", amount: "2" }), 400, "INVALID_ARGUMENT");
    expectProblem(await send("PUT", at(key)), 400, "INVALID_ARGUMENT");
    const json = { "content-type": "application/json" };
    expectProblem(await send("PUT", at(key), '{"value":', json), 400, "INVALID_ARGUMENT");
    expectProblem(await send("GET", at(key)), 404, "NOT_FOUND");
  });

  test.each(["a:add", "hits:/index.html", "späß €", "a b?c#d", "%25", "x:add:add"])(
    "the key %s travels whole",
    async (name) => {
      await send("DELETE", at(name));
      expect((await add(name, "3")).body).toMatchObject({ key: name, value: "3" });
      expect((await send("GET", at(name))).body).toMatchObject({ key: name, value: "3" });
    },
  );

  test("a key that is no UTF-8 and one that is too long are refused", async () => {
    expectProblem(await send("GET", "/v1/counters/%ff"), 400, "INVALID_ARGUMENT");
    expectProblem(await send("GET", at("k".repeat(5000))), 400, "KEY_TOO_LARGE");
    expectProblem(await send("GET", "/v1/counters/"), 400, "INVALID_ARGUMENT");
  });

  test("databases are namespaces", async () => {
    await send("PUT", `${at(key)}?database=3`, { value: "33" });
    expectProblem(await send("GET", at(key)), 404, "NOT_FOUND");
    expect((await send("GET", `${at(key)}?database=3`)).body["value"]).toBe("33");
    expectProblem(await send("GET", `${at(key)}?database=16`), 400, "INVALID_ARGUMENT");
    expectProblem(await send("GET", `${at(key)}?databse=3`), 400, "INVALID_ARGUMENT");
  });

  test("a byte string is no counter", async () => {
    const keyBytes = new TextEncoder().encode(key);
    const { submit } = await import("../src/http/promise-caller.ts");
    await submit(replica, {
      type: "set",
      database: 0,
      key: keyBytes,
      value: new TextEncoder().encode("words"),
      condition: "always",
      returnPrevious: false,
      expiry: { type: "clear" },
    });
    expectProblem(await send("GET", at(key)), 409, "NOT_AN_INTEGER");
    expectProblem(await add(key, "1"), 409, "NOT_AN_INTEGER");
  });

  test("bounds and expiry are shown, kept and enforced", async () => {
    const { submit } = await import("../src/http/promise-caller.ts");
    const target = { database: 0, key: new TextEncoder().encode(key) };
    await submit(replica, { type: "bound", ...target, minimum: 0, maximum: 10, force: false });
    const inAnHour = replica.stampNowMs() + 3_600_000;
    const conditions = { ifNone: false, ifSome: false, ifLater: false, ifEarlier: false };
    await submit(replica, { type: "expire", ...target, expiry: { type: "at", ms: inAnHour }, conditions });
    expect((await set(key, "7")).body).toMatchObject({ min: "0", max: "10", expiresAtMs: String(inAnHour) });
    expectProblem(await add(key, "4"), 409, "OUT_OF_BOUNDS");
    expectProblem(await set(key, "11"), 409, "OUT_OF_BOUNDS");
    expect((await send("GET", at(key))).body["value"]).toBe("7");
  });
});

describe("preconditions", () => {
  test("If-Match with the present version passes once", async () => {
    const etag = String((await set(key, "1")).headers["etag"]);
    expect((await set(key, "2", { "if-match": etag })).body["value"]).toBe("2");
    expectProblem(await set(key, "3", { "if-match": etag }), 412, "PRECONDITION_FAILED");
    expectProblem(await send("DELETE", at(key), undefined, { "if-match": etag }), 412, "PRECONDITION_FAILED");
    expect((await send("GET", at(key))).body["value"]).toBe("2");
  });

  test("If-Match: * wants a counter, If-None-Match: * wants none", async () => {
    expectProblem(await set(key, "1", { "if-match": "*" }), 412, "PRECONDITION_FAILED");
    expect((await set(key, "1", { "if-none-match": "*" })).status).toBe(200);
    expectProblem(await set(key, "2", { "if-none-match": "*" }), 412, "PRECONDITION_FAILED");
    expect((await set(key, "2", { "if-match": "*" })).body["value"]).toBe("2");
  });

  test.each(['"x"', "12-1", '"1-1", "2-1"', 'W/"1-1"'])("If-Match: %s is refused", async (ifMatch) => {
    expectProblem(await set(key, "1", { "if-match": ifMatch }), 400, "INVALID_ARGUMENT");
  });
});

describe("Idempotency-Key", () => {
  test("a retry gets the first reply and changes nothing, whatever happened meanwhile", async () => {
    const headers = { "idempotency-key": "order-1" };
    const first = await add(key, "5", headers);
    await add(key, "100");
    const again = await add(key, "5", { "idempotency-key": '"order-1"' });
    expect(again.body).toMatchObject({ value: "5", version: first.body["version"] });
    expect(again.headers["etag"]).toBe(first.headers["etag"]);
    expect(again.headers["idempotency-replayed"]).toBe("true");
    expect((await send("GET", at(key))).body["value"]).toBe("105");
  });

  test("a first time is never called a replay, even where it changes nothing", async () => {
    const headers = (name: string): Record<string, string> => ({ "idempotency-key": name });
    const first = [
      await add(key, "5", headers("a")),
      await add(key, "0", headers("b")),
      await set(key, "5", headers("c")),
      await add(key, "0"),
      await set(key, "5"),
    ];
    for (const reply of first) {
      expect(reply.status).toBe(200);
      expect(reply.headers["idempotency-replayed"]).toBeUndefined();
    }
    expect((await add(key, "0", headers("b"))).headers["idempotency-replayed"]).toBe("true");
  });

  test("refusals are repeated too", async () => {
    const headers = { "idempotency-key": "order-2", "if-match": "*" };
    expectProblem(await set(key, "1", headers), 412, "PRECONDITION_FAILED");
    await set(key, "9");
    expectProblem(await set(key, "1", headers), 412, "PRECONDITION_FAILED");
  });

  test("another request under the same key is refused; the same key on another counter is another key", async () => {
    const headers = { "idempotency-key": "order-3" };
    const tagged = `{${key}}`;
    expect((await add(`${tagged}-a`, "5", headers)).status).toBe(200);
    expectProblem(await add(`${tagged}-a`, "6", headers), 422, "IDEMPOTENCY_MISMATCH");
    expectProblem(await send("DELETE", at(`${tagged}-a`), undefined, headers), 422, "IDEMPOTENCY_MISMATCH");
    // The same slot, as the tag decides.
    expect((await add(`${tagged}-b`, "6", headers)).body["value"]).toBe("6");
  });

  test("a UUIDv7 older than the retention is refused", async () => {
    const bornAt = (ms: number): string => {
      const hex = Math.floor(ms).toString(16).padStart(12, "0");
      return `${hex.slice(0, 8)}-${hex.slice(8)}-7abc-8def-0123456789ab`;
    };
    const nowMs = replica.stampNowMs();
    const dayMs = 24 * 3_600_000;
    expect((await add(key, "1", { "idempotency-key": bornAt(nowMs) })).status).toBe(200);
    expectProblem(
      await add(key, "1", { "idempotency-key": bornAt(nowMs - dayMs - 60_000) }),
      409,
      "IDEMPOTENCY_EXPIRED",
    );
    expect((await send("GET", at(key))).body["value"]).toBe("1");
  });

  test.each(["", "a b", "x".repeat(256), "späß"])("the key %j is refused", async (idempotencyKey) => {
    expectProblem(await add(key, "1", { "idempotency-key": idempotencyKey }), 400, "INVALID_ARGUMENT");
  });
});

describe("limits", () => {
  test("a body beyond the limit", async () => {
    const reply = await send("PUT", at(key), { value: "1", padding: "x".repeat(20_000) });
    expectProblem(reply, 413, "INVALID_ARGUMENT");
  });

  test("an overloaded replica answers 503 with Retry-After, and nothing changes", async () => {
    const full = new Proxy(replica, {
      get: (target, name) =>
        name === "write"
          ? (caller: { fail: (tag: number, error: Error) => void }) => caller.fail(0, overloaded)
          : Reflect.get(target, name, target),
    });
    const overloaded = new QuipuError("OVERLOADED", "too much is waiting");
    const busy = await createHttpApplication({ ...options, replica: full, metrics: new Metrics() });
    const response = await busy.inject({ method: "POST", url: `${at(key)}:add`, payload: { delta: "1" } });
    expect(response.statusCode).toBe(503);
    expect(response.headers["retry-after"]).toBe("1");
    expect(response.json()).toMatchObject({ code: "OVERLOADED", outcome: "definite" });
    await busy.close();
    expectProblem(await send("GET", at(key)), 404, "NOT_FOUND");
  });
});

describe("tokens", () => {
  const token = "0123456789abcdef0123456789abcdef";

  test("without one 401, with one in; probes need none", async () => {
    const guarded = await createHttpApplication({
      ...options,
      authenticator: new Authenticator([token]),
      metrics: new Metrics(),
    });
    const get = async (url: string, authorization?: string): Promise<LightMyRequestResponse> =>
      guarded.inject({ url, ...(authorization === undefined ? {} : { headers: { authorization } }) });
    for (const url of [at("x"), "/v1/cluster", "/metrics", "/openapi.json", "/nothing", "/healthz/../v1/cluster"]) {
      const refused = await get(url);
      expect(refused.statusCode, url).toBe(401);
      expect(refused.headers["www-authenticate"]).toMatch(/^Bearer/);
      expect(refused.json()).toMatchObject({ code: "UNAUTHENTICATED", outcome: "definite" });
      expect((await get(url, "Bearer wrong-token-wrong-token")).statusCode).toBe(401);
      expect((await get(url, `Basic ${token}`)).statusCode).toBe(401);
    }
    expect((await get("/v1/cluster", `Bearer ${token}`)).statusCode).toBe(200);
    expect((await get("/v1/cluster", `bearer ${token}`)).statusCode).toBe(200);
    expect((await get("/healthz")).statusCode).toBe(200);
    expect((await get("/readyz?x=1")).statusCode).toBe(200);
    const posted = await guarded.inject({ method: "POST", url: `${at(key)}:add`, payload: { delta: "1" } });
    expect(posted.statusCode).toBe(401);
    await guarded.close();
    expectProblem(await send("GET", at(key)), 404, "NOT_FOUND");
  });
});

describe("the node", () => {
  test("/healthz, /readyz, /v1/cluster", async () => {
    expect((await send("GET", "/healthz")).body).toEqual({ status: "ok" });
    expect((await send("GET", "/readyz")).body).toEqual({ status: "ok" });
    expect((await send("GET", "/v1/cluster")).body).toEqual(JSON.parse(JSON.stringify(status)));
    expectProblem(await send("GET", "/nothing"), 404, "NOT_FOUND");
    const stopping = await createHttpApplication({
      ...options,
      status: () => ({ ...status, ready: false }),
      metrics: new Metrics(),
    });
    const response = await stopping.inject("/readyz");
    expect(response.statusCode).toBe(503);
    expect(response.json()).toMatchObject({ code: "SHUTTING_DOWN" });
    await stopping.close();
  });

  test("/metrics holds our names, and no key in any label", async () => {
    await add("secret-key-name", "1");
    const text = (await application.inject("/metrics")).body;
    expect(text).toMatch(/^quipu_keys\{shard="0"\} 4$/m);
    expect(text).toMatch(/^quipu_records_applied_total\{shard="0"\} 7$/m);
    expect(text).toMatch(/^quipu_build_info\{version="1.2.3",engine="memory"\} 1$/m);
    expect(text).toMatch(/quipu_http_requests_total\{method="POST",route="[^"]*:add",status="200"\} \d+/);
    expect(text).toMatch(/^quipu_disk_wal_fsync_duration_seconds_bucket/m);
    expect(text).not.toContain("secret-key-name");
    // Asked twice, a total must not be added twice.
    expect((await application.inject("/metrics")).body).toMatch(/^quipu_records_applied_total\{shard="0"\} 7$/m);
  });

  test("/openapi.json describes every route", async () => {
    const document = (await send("GET", "/openapi.json")).body as {
      readonly openapi: string;
      readonly paths: Record<string, Record<string, { readonly parameters?: readonly { readonly name: string }[] }>>;
    };
    expect(document.openapi).toBe("3.1.0");
    expect(Object.keys(document.paths).sort()).toEqual([
      "/healthz",
      "/readyz",
      "/v1/cluster",
      "/v1/cluster/requests",
      "/v1/counters/{key}",
      "/v1/counters/{key}:add",
    ]);
    expect(Object.keys(document.paths["/v1/counters/{key}"] ?? {}).sort()).toEqual(["delete", "get", "put"]);
    const parameters = document.paths["/v1/counters/{key}:add"]?.["post"]?.parameters?.map(({ name }) => name);
    expect(parameters).toEqual(expect.arrayContaining(["key", "database", "idempotency-key"]));
    expect(JSON.stringify(document)).toContain("#/components/schemas/Problem");
  });
});

test("half a request does not keep the door from closing", async () => {
  const door = await startHttpDoor({ ...options, metrics: new Metrics(), closeWaitMs: 50 }, "127.0.0.1", 0);
  const socket = connectSocket(door.port, "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nPOST /v1/counters/x:add HTTP/1.1\r\nHost: x\r\n");
  await once(socket, "data");
  const closed = new Promise((resolve) => socket.once("close", resolve));
  await door.close();
  await closed;
});

test("through a real socket: requests, a taken port, closing answers what is under way", async () => {
  const door = await startHttpDoor({ ...options, metrics: new Metrics() }, "127.0.0.1", 0);
  const url = `http://127.0.0.1:${door.port}${at(key)}`;
  const post = (): Promise<Response> =>
    fetch(`${url}:add`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ delta: "1" }),
    });
  const replies = await Promise.all(Array.from({ length: 50 }, post));
  expect(replies.map((reply) => reply.status)).toEqual(Array.from({ length: 50 }, () => 200));
  expect(((await (await fetch(url)).json()) as { value: string }).value).toBe("50");
  await expect(startHttpDoor({ ...options, metrics: new Metrics() }, "127.0.0.1", door.port)).rejects.toMatchObject({
    code: "PORT_IN_USE",
    message: expect.stringContaining(`ss -ltnp "sport = :${door.port}"`),
  });
  await door.close();
  await expect(post()).rejects.toThrow();
});
