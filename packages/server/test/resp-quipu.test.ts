/** Quipu's own commands over RESP: Q.ONCE, Q.BOUND, Q.SESSION, Q.BATCH; INCREX; AUTH; CLIENT. */
import { encodeCommand } from "@quipu/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RawClient } from "./resp-client.ts";
import { openTestDoor } from "./resp-door.ts";
import { until } from "./until.ts";
import { hotCommand, hotNone } from "../src/resp/hot-commands.ts";
import { timeOfUuid7 } from "../src/resp/uuid7.ts";
import { Fifo } from "../src/resp/fifo.ts";

async function connected(): Promise<RawClient> {
  const { client } = await openTestDoor();
  return client();
}

describe("Q.ONCE", () => {
  test("applies a command once, on the fast path and off it, and gives the first reply again", async () => {
    const caller = await connected();
    expect(await caller.ask("Q.ONCE k1 INCR a")).toBe(":1\r\n");
    expect(await caller.ask("q.once k1 incr a")).toBe(":1\r\n");
    expect(await caller.ask("Q.ONCE k1 INCRBY a 1")).toBe(":1\r\n");
    expect(await caller.ask("Q.ONCE k2 SET b x GET")).toBe("$-1\r\n");
    expect(await caller.ask("Q.ONCE k2 SET b x GET")).toBe("$-1\r\n");
    expect(await caller.ask("MGET a b")).toBe("*2\r\n$1\r\n1\r\n$1\r\nx\r\n");
  });

  test("refuses another command under the same key of the same slot", async () => {
    const caller = await connected();
    await caller.ask("Q.ONCE k INCR a");
    expect(await caller.ask("Q.ONCE k INCRBY a 5")).toMatch(/^-IDEMPOTENCYMISMATCH /);
  });

  test("stores refusals too", async () => {
    const caller = await connected();
    await caller.ask("SET a text");
    const refusal = "-ERR value is not an integer or out of range\r\n";
    expect(await caller.ask("Q.ONCE k INCR a")).toBe(refusal);
    await caller.ask("SET a 1");
    expect(await caller.ask("Q.ONCE k INCR a")).toBe(refusal);
  });

  test("EXEC names the open MULTI", async () => {
    const caller = await connected();
    for (let attempt = 1; attempt <= 2; attempt++) {
      caller.lines("MULTI", "INCR a", "PING", "GET a", "Q.ONCE k EXEC");
      const expected = "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:1\r\n+PONG\r\n$1\r\n1\r\n";
      expect(await caller.take(expected)).toBe(expected);
    }
    expect(await caller.ask("GET a")).toBe("$1\r\n1\r\n");
    expect(await caller.ask("Q.ONCE k EXEC")).toBe("-ERR EXEC without MULTI\r\n");
  });

  test("what bears a time and is older than the retention is refused: AT and UUIDv7", async () => {
    const caller = await connected();
    expect(await caller.ask("Q.ONCE k AT 1000 INCR a")).toMatch(/^-IDEMPOTENCYEXPIRED /);
    expect(await caller.ask("Q.ONCE 00000000-0001-7000-8000-000000000001 INCR a")).toMatch(/^-IDEMPOTENCYEXPIRED /);
    expect(await caller.ask(`Q.ONCE k AT ${Date.now()} INCR a`)).toBe(":1\r\n");
  });

  test("what it cannot wrap is refused with a reason", async () => {
    const caller = await connected();
    expect(await caller.ask("Q.ONCE k PING")).toBe("-ERR Q.ONCE cannot run 'ping'\r\n");
    expect(await caller.ask("Q.ONCE k INCR")).toBe("-ERR wrong number of arguments for 'incr' command\r\n");
    expect(await caller.ask("Q.ONCE k FOO")).toBe("-ERR unknown command 'FOO', with args beginning with: \r\n");
    expect(await caller.ask("Q.ONCE k AT x INCR a")).toBe("-ERR value is not an integer or out of range\r\n");
    caller.lines("MULTI", "Q.ONCE k INCR a", "EXEC");
    const expected =
      "+OK\r\n-ERR Q.ONCE inside MULTI takes only EXEC\r\n" +
      "-EXECABORT Transaction discarded because of previous errors.\r\n";
    expect(await caller.take(expected)).toBe(expected);
  });

  test("its keys are found: COMMAND GETKEYS", async () => {
    const caller = await connected();
    expect(await caller.ask("COMMAND GETKEYS Q.ONCE id AT 5 MSET a 1 b 2")).toBe("*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    expect(await caller.ask("COMMAND GETKEYS Q.BATCH s 1 1 ADD a 1 GET b CAS c ~ 1")).toBe(
      "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
    );
  });
});

describe("Q.BOUND and INCREX", () => {
  test("bounds hold for every way to add", async () => {
    const caller = await connected();
    expect(await caller.ask("Q.BOUND a MIN 0 MAX 2")).toBe("*2\r\n:0\r\n:2\r\n");
    caller.lines("INCR a", "INCR a", "INCR a", "GET a");
    expect(await caller.takeThrough("$1\r\n2\r\n")).toMatch(/^:1\r\n:2\r\n-OUTOFBOUNDS [^\r]*\r\n\$1\r\n2\r\n$/);
    expect(await caller.ask("Q.BOUND a MAX 1")).toMatch(/^-OUTOFBOUNDS /);
    expect(await caller.ask("Q.BOUND a MAX 1 FORCE")).toBe("*2\r\n:0\r\n:1\r\n");
    expect(await caller.ask("Q.BOUND a MIN NONE MAX NONE")).toBe("*2\r\n$-1\r\n$-1\r\n");
    expect(await caller.ask("Q.BOUND a MIN 5 MAX 1")).toBe("-ERR MIN can't be greater than MAX\r\n");
    expect(await caller.ask("Q.BOUND a MIN")).toBe("-ERR syntax error\r\n");
  });

  test("INCREX as in Redis 8.8", async () => {
    const caller = await connected();
    expect(await caller.ask("INCREX a")).toBe("*2\r\n:1\r\n:1\r\n");
    expect(await caller.ask("INCREX a BYINT 10 UBOUND 5")).toBe("*2\r\n:1\r\n:0\r\n");
    expect(await caller.ask("INCREX a BYINT 10 UBOUND 5 SATURATE EX 100")).toBe("*2\r\n:5\r\n:4\r\n");
    expect(await caller.ask("TTL a")).toBe(":100\r\n");
    expect(await caller.ask("INCREX a BYFLOAT 0.5")).toBe("*2\r\n$3\r\n5.5\r\n$3\r\n0.5\r\n");
    expect(await caller.ask("INCREX a ENX")).toBe("-ERR ENX flag requires an expiration\r\n");
    expect(await caller.ask("INCREX a BYINT 1 BYFLOAT 1")).toBe("-ERR syntax error\r\n");
    await caller.ask("HELLO 3");
    expect(await caller.ask("INCREX a BYFLOAT 0.5")).toBe("*2\r\n,6\r\n,0.5\r\n");
  });
});

describe("Q.SESSION and Q.BATCH", () => {
  async function session(caller: RawClient, lifetimeMs?: number): Promise<string> {
    const reply = await caller.ask(`Q.SESSION${lifetimeMs === undefined ? "" : ` ${lifetimeMs}`}`);
    const match = /^\*2\r\n\$45\r\n([0-9a-f]{12})-[0-9a-f]{32}\r\n:(\d+)\r\n$/.exec(reply);
    expect(match).not.toBeNull();
    expect(Number.parseInt(match?.[1] ?? "", 16)).toBe(Number(match?.[2]));
    return reply.slice(reply.indexOf("\r\n$45\r\n") + 7, reply.indexOf("\r\n:"));
  }

  test("a batch answers per operation, and a replay the same again", async () => {
    const caller = await connected();
    const id = await session(caller);
    const batch = "ADD a 5 GET a SET b x GET b ADD b 1 CAS a 5 7 CAS a 5 8 CAS n ~ 3 DEL b GET b";
    const first = await caller.ask(`Q.BATCH ${id} 1 1 ${batch}`);
    expect(first).toMatch(
      new RegExp(
        String.raw`^\*3\r\n\$\d+\r\n\d+-\d+\r\n:0\r\n\*10\r\n:5\r\n\$1\r\n5\r\n\+OK\r\n\$1\r\nx\r\n` +
          String.raw`-ERR value is not an integer or out of range\r\n\*2\r\n:1\r\n:7\r\n\*2\r\n:0\r\n:7\r\n` +
          String.raw`\*2\r\n:1\r\n:3\r\n:1\r\n\$-1\r\n$`,
      ),
    );
    const again = await caller.ask(`Q.BATCH ${id} 1 1 ${batch}`);
    expect(again).toBe(first.replace("\r\n:0\r\n*10", "\r\n:1\r\n*10"));
    expect(await caller.ask("GET a")).toBe("$1\r\n7\r\n");
  });

  test("whole-batch errors are told by their first word", async () => {
    const caller = await connected();
    const id = await session(caller);
    await caller.ask(`Q.BATCH ${id} 1 1 ADD a 1`);
    await caller.ask(`Q.BATCH ${id} 2 2 ADD a 1`);
    expect(await caller.ask(`Q.BATCH ${id} 1 1 ADD a 1`)).toMatch(/^-SESSIONNUMBER /);
    const expired = `000000000001-${"0".repeat(32)}`;
    expect(await caller.ask(`Q.BATCH ${expired} 1 1 ADD a 1`)).toMatch(/^-SESSIONEXPIRED /);
    expect(await caller.ask("Q.BATCH nonsense 1 1 ADD a 1")).toBe("-ERR no session id of Q.SESSION\r\n");
    expect(await caller.ask(`Q.BATCH ${id} 1 2 ADD a 1`)).toMatch(/^-ERR the numbers of a batch/);
    expect(await caller.ask(`Q.BATCH ${id} 3 3 ADD a`)).toMatch(/^-ERR operation 0 of the batch/);
    expect(await caller.ask(`Q.BATCH ${id} 3 3 ADD a 1 MUL b 2`)).toMatch(/^-ERR operation 1 of the batch/);
    expect(await caller.ask(`Q.BATCH ${id} 3 3 ADD a x`)).toBe("-ERR value is not an integer or out of range\r\n");
    expect(await caller.ask(`Q.BATCH ${id} 3 3`)).toBe("-ERR wrong number of arguments for 'q.batch' command\r\n");
    expect(await caller.ask("Q.SESSION 0")).toMatch(/^-ERR a session lives/);
    expect(await caller.ask("GET a")).toBe("$1\r\n2\r\n");
  });

  test("1,024 operations in one batch, no more", async () => {
    const caller = await connected();
    const id = await session(caller, 60_000);
    const adds = (count: number): string[] => Array.from({ length: count }, (_, key) => ["ADD", `k${key}`, "1"]).flat();
    const send = (words: string[]): void => caller.send(Buffer.from(encodeCommand(words)).toString("latin1"));
    send(["Q.BATCH", id, "1", "1", ...adds(1024)]);
    const reply = await caller.takeThrough(`*1024\r\n${":1\r\n".repeat(1024)}`);
    expect(reply.startsWith("*3\r\n")).toBe(true);
    send(["Q.BATCH", id, "2", "1", ...adds(1025)]);
    expect(await caller.takeThrough("\r\n")).toBe("-ERR a batch holds at most 1024 operations\r\n");
  });
});

describe("authentication", () => {
  test("nothing but AUTH, HELLO, RESET and QUIT before the token", async () => {
    const { client } = await openTestDoor({}, { tokens: ["secret"] });
    const caller = await client();
    const refused = "-NOAUTH Authentication required.\r\n";
    caller.lines(
      "INCR a",
      "GET a",
      "PING",
      "Q.BATCH x 1 1 GET a",
      "MULTI",
      "HELLO 3",
      "AUTH wrong",
      "AUTH secret",
      "INCR a",
    );
    const expected =
      refused.repeat(5) +
      "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> " +
      "<pass> option can be used to authenticate the client and select the RESP protocol version at the same time\r\n" +
      "-WRONGPASS invalid username-password pair or user is disabled.\r\n+OK\r\n:1\r\n";
    expect(await caller.take(expected)).toBe(expected);
    caller.lines("RESET", "GET a", "HELLO 2 AUTH anyone secret", "GET a");
    const reply = await caller.takeThrough("$1\r\n1\r\n");
    expect(reply.startsWith(`+RESET\r\n${refused}*14\r\n`)).toBe(true);
  });
});

describe("CLIENT", () => {
  test("KILL by id and by address, LIST by id", async () => {
    const { client, door } = await openTestDoor();
    const [killer, one, two] = [await client(), await client(), await client()];
    const id = (await one.ask("CLIENT ID")).slice(1, -2);
    expect(await killer.ask(`CLIENT LIST ID ${id}`)).toMatch(new RegExp(`^\\$\\d+\r\nid=${id} addr=127.0.0.1:`));
    expect(await killer.ask(`CLIENT KILL ID ${id}`)).toBe(":1\r\n");
    await one.closed();
    const address = /addr=(\S+)/.exec(await two.ask("CLIENT INFO"))?.[1] ?? "";
    expect(await killer.ask(`CLIENT KILL ${address}`)).toBe("+OK\r\n");
    await two.closed();
    await until(() => door.connectionCount === 1);
    killer.lines("CLIENT KILL TYPE normal SKIPME no");
    expect(await killer.closed()).toBe(":1\r\n");
  });

  test("REPLY OFF and SKIP drop replies of every kind, and effects stay", async () => {
    const caller = await connected();
    caller.lines(
      "CLIENT REPLY SKIP",
      "INCR a",
      "INCR a",
      "CLIENT REPLY OFF",
      "INCR a",
      "GET a",
      "PING",
      "WATCH a",
      "FOO",
    );
    caller.lines("MULTI", "INCR a", "EXEC", "CLIENT REPLY ON", "GET a");
    expect(await caller.take(":2\r\n+OK\r\n$1\r\n4\r\n")).toBe(":2\r\n+OK\r\n$1\r\n4\r\n");
  });
});

describe("the command table", () => {
  const promised =
    "ping echo hello auth quit reset select info time command command|count command|docs command|info command|list " +
    "command|getkeys config|get config|set config|resetstat client|id client|info client|list client|getname " +
    "client|setname client|setinfo client|no-evict client|reply client|kill dbsize flushdb flushall wait get set setnx " +
    "setex psetex getset getdel getex mget mset msetnx incr decr incrby decrby incrbyfloat increx del unlink exists " +
    "type touch expire pexpire expireat pexpireat ttl pttl expiretime pexpiretime persist keys scan randomkey multi " +
    "exec discard watch unwatch q.bound q.once q.readmode q.session q.cell q.batch";

  test("has what is promised, and COMMAND, INFO and DOCS describe all of it", async () => {
    const caller = await connected();
    const list = await caller.ask("COMMAND LIST");
    for (const name of promised.split(" ")) expect(list).toContain(`\r\n${name}\r\n`);
    const count = (await caller.ask("COMMAND COUNT")).slice(1, -2);
    expect(await caller.ask("COMMAND")).toMatch(new RegExp(`^\\*${count}\r\n\\*10\r\n`));
    expect(await caller.ask("COMMAND INFO")).toMatch(new RegExp(`^\\*${count}\r\n`));
    expect(await caller.ask("COMMAND DOCS")).toMatch(new RegExp(`^\\*${2 * Number(count)}\r\n`));
  });
});

describe("FLUSHALL", () => {
  test("is refused unless allowed", async () => {
    const { client } = await openTestDoor({ allowFlush: false });
    const caller = await client();
    await caller.ask("SET a 1");
    expect(await caller.ask("FLUSHALL")).toMatch(/^-NOPERM FLUSHALL is refused/);
    expect(await caller.ask("FLUSHDB")).toMatch(/^-NOPERM FLUSHDB is refused/);
    expect(await caller.ask("DBSIZE")).toBe(":1\r\n");
  });
});

describe("INFO", () => {
  test("has the sections and fields that tools read", async () => {
    const caller = await connected();
    await caller.ask("SET a 1 EX 100");
    const text = await caller.ask("INFO");
    for (const line of [
      "# Server",
      "redis_version:7.0.15",
      "quipu_version:0.1.0",
      "# Clients",
      "connected_clients:1",
      "# Memory",
      "# Persistence",
      "loading:0",
      "# Stats",
      "# Replication",
      "role:master",
      "# Cluster",
      "cluster_enabled:0",
      "# Keyspace",
      "db0:keys=1,expires=1,avg_ttl=0",
    ]) {
      expect(text).toContain(`${line}\r\n`);
    }
    expect(await caller.ask("INFO keyspace")).toBe("$44\r\n# Keyspace\r\ndb0:keys=1,expires=1,avg_ttl=0\r\n\r\n");
  });
});

describe("small parts", () => {
  test("a hot command is known in any case, and nothing else is taken for one", () => {
    const hot = ["get", "set", "incr", "decr", "ping", "incrby", "q.once", "q.batch"];
    const bytes = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));
    const known = (text: string): boolean => hotCommand(bytes(text), 0, text.length) !== hotNone;
    for (const name of hot) expect([known(name), known(name.toUpperCase())]).toEqual([true, true]);
    fc.assert(
      fc.property(fc.constantFrom(...hot), fc.nat(6), fc.integer({ min: 0, max: 255 }), (name, place, byte) => {
        const changed = [...name];
        changed[place % name.length] = String.fromCharCode(byte);
        const text = changed.join("");
        return known(text) === hot.includes(text.toLowerCase());
      }),
      { numRuns: 2_000, seed: 1 },
    );
  });

  test("the time of a UUIDv7 (RFC 9562, appendix A.6)", () => {
    const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
    expect(timeOfUuid7(bytes("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), 0, 36)).toBe(1_645_557_742_000);
    expect(timeOfUuid7(bytes("017F22E2-79B0-4CC3-98C4-DC0C0C07398F"), 0, 36)).toBeNull();
    expect(timeOfUuid7(bytes("017F22E2079B0-7CC3-98C4-DC0C0C07398F"), 0, 36)).toBeNull();
    expect(timeOfUuid7(bytes("order-4711"), 0, 10)).toBeNull();
  });

  test("a Fifo is an array's push, shift and pop", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("push", "push", "shift", "pop"), { maxLength: 5_000 }), (steps) => {
        const fifo = new Fifo<number>();
        const model: number[] = [];
        return steps.every((step, value) => {
          if (step === "push") {
            fifo.push(value);
            model.push(value);
            return fifo.length === model.length;
          }
          return step === "shift" ? fifo.shift() === model.shift() : fifo.pop() === model.pop();
        });
      }),
      { numRuns: 50, seed: 1 },
    );
  });
});
