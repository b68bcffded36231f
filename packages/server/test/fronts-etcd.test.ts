/** Nodes in front of a real etcd: many doors of one log, killed, added later, with the etcd away for a while. */
import path from "node:path";
import { type EtcdMembers, hasEtcd, startEtcdMembers } from "@quipu/log-etcd/testing";
import { ChildServer } from "quipu/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask, eventually, Load, startFront, statusOf } from "./front-processes.ts";
import { runCli } from "./run-cli.ts";
import { temporaryDirectory } from "./temporary.ts";

describe.skipIf(!hasEtcd())("fronts of an etcd", () => {
  const root = temporaryDirectory();
  const servers: ChildServer[] = [];
  let etcd: EtcdMembers;
  let one: ChildServer;
  let two: ChildServer;

  async function start(name: string): Promise<ChildServer> {
    const server = await startFront(path.join(root, name), "etcd", etcd.endpoints);
    servers.push(server);
    return server;
  }

  beforeAll(async () => {
    etcd = await startEtcdMembers();
    [one, two] = await Promise.all([start("one"), start("two")]);
  }, 120_000);

  afterAll(async () => {
    for (const server of servers) server.killNow();
    await etcd.stop();
  });

  test("each reads what the other acknowledged; they have numbers of their own", async () => {
    for (let count = 1; count <= 6; count += 2) {
      expect(await ask(one, "INCR", "doors")).toBe(count);
      expect(await ask(two, "INCR", "doors")).toBe(count + 1);
      expect(await ask(one, "GET", "doors")).toBe(String(count + 1));
    }
    const numbers = [(await statusOf(one)).node, (await statusOf(two)).node];
    expect(new Set(numbers)).toEqual(new Set([1, 2]));
    const { stdout } = await runCli(["engine", "list", "--endpoint", two.httpUrl]);
    expect(stdout).toContain("* etcd");
  });

  test("one is killed under load and started again: counts are exact", async () => {
    const { node } = await statusOf(one);
    const loads = [new Load(one.url, "killed"), new Load(two.url, "killed")];
    await Promise.all(loads.map((load) => load.more(30)));
    await one.stop("SIGKILL");
    await loads[1]?.more(30);
    await one.restart();
    await Promise.all(loads.map((load) => load.more(30)));
    const added = await Promise.all(loads.map((load) => load.stop()));
    const sum = added.reduce((total, each) => total + each, 0);
    expect(await ask(one, "GET", "killed")).toBe(String(sum));
    expect(await ask(two, "GET", "killed")).toBe(String(sum));
    expect((await statusOf(one)).node).toBe(node);
  });

  test("the etcd is killed and started again under load: counts are exact", { timeout: 120_000 }, async () => {
    const loads = [new Load(one.url, "away"), new Load(two.url, "away")];
    await Promise.all(loads.map((load) => load.more(30)));
    await etcd.kill(0);
    await etcd.restart(0);
    await Promise.all(loads.map((load) => load.more(30)));
    const added = await Promise.all(loads.map((load) => load.stop()));
    const sum = added.reduce((total, each) => total + each, 0);
    expect(await ask(two, "GET", "away")).toBe(String(sum));
  });

  test("while the etcd is away reads and writes are refused, definitely where nothing was under way", async () => {
    await ask(one, "SET", "refused", "1");
    await etcd.kill(0);
    const [write, read] = await Promise.all([ask(one, "INCR", "refused"), ask(two, "GET", "refused")]);
    await etcd.restart(0);
    expect(write).toMatchObject({ text: expect.stringMatching(/^NOQUORUM .*ECONNREFUSED/) as string });
    expect(read).toMatchObject({ text: expect.stringMatching(/^NOQUORUM .*ECONNREFUSED/) as string });
    expect(await ask(two, "INCR", "refused")).toBe(2);
  });

  test("a new node starts from a snapshot in the etcd once the log is trimmed", { timeout: 120_000 }, async () => {
    const large = "x".repeat(600_000);
    // More than what makes a snapshot worth its while.
    await ask(two, "SET", "early", "6");
    for (let i = 0; i < 16; i++) expect(await ask(one, "SET", `large-${i % 5}`, large)).toBe("OK");
    await ask(one, "SET", "small", "1");
    const endpoint = etcd.endpoints[0] ?? "";
    await eventually("a published snapshot", async () => {
      const range = {
        key: base64("/quipu/blob/snapshot/0/"),
        range_end: base64("/quipu/blob/snapshot/00"),
        keys_only: true,
      };
      const reply = await fetch(`${endpoint}/v3/kv/range`, { method: "POST", body: JSON.stringify(range) });
      const { kvs = [] } = (await reply.json()) as { readonly kvs?: readonly { readonly key: string }[] };
      return kvs.some(({ key }) => Buffer.from(key, "base64").toString().endsWith("/manifest")) ? true : undefined;
    });
    await eventually("a trimmed log", async () => ((await logBytes(endpoint)) < 5_000_000 ? true : undefined));
    const three = await start("three");
    expect(await ask(three, "GET", "early")).toBe("6");
    expect(await ask(three, "GET", "large-4")).toBe(large);
    expect(await ask(three, "INCR", "small")).toBe(2);
    const [hash, other] = await eventually("hashes of one position", async () => {
      const [left, right] = await Promise.all([statusOf(three), statusOf(two)]);
      const [a, b] = [left.shards[0], right.shards[0]];
      if (a === undefined || b === undefined || a.appliedPosition !== b.appliedPosition) return undefined;
      return a.stateHash === null || b.stateHash === null ? undefined : [a.stateHash, b.stateHash];
    });
    expect(hash).toBe(other);
  });

  test("the door is up while the etcd is away, says so, and serves when it is back", { timeout: 120_000 }, async () => {
    await ask(one, "SET", "late", "6");
    await two.stop("SIGTERM");
    await etcd.kill(0);
    const restarting = two.restart();
    const ready = await eventually("a door", async () => {
      const response = await fetch(`${two.httpUrl}/readyz`);
      const { detail } = (await response.json()) as { readonly detail?: string };
      return detail?.includes("ECONNREFUSED") === true ? { status: response.status, detail } : undefined;
    });
    expect(ready.status).toBe(503);
    expect(ready.detail).toContain("waits for etcd at http://127.0.0.1:");
    await etcd.restart(0);
    await restarting;
    expect(await ask(two, "GET", "late")).toBe("6");
  });

  test("a directory of one kind is refused as another", { timeout: 120_000 }, async () => {
    const front = path.join(root, "mixed-front");
    const made = await startFront(front, "etcd", etcd.endpoints);
    await made.stop("SIGTERM");
    const single = path.join(root, "mixed-single");
    const alone = await ChildServer.start({ dataDirectory: single });
    await alone.stop("SIGTERM");
    const ports = ["--resp-port", "0", "--http-port", "0"];
    const home = ["--engine", "etcd", "--endpoints", etcd.endpoints.join(",")];
    const refusals: readonly (readonly [string, readonly string[], string])[] = [
      [front, [], "in front of etcd"],
      [front, [...home, "--engine-prefix", "/other"], "in front of etcd, below /quipu"],
      [front, ["--engine", "zookeeper", "--endpoints", "127.0.0.1:1"], "in front of etcd"],
      [single, home, "that of a single process"],
    ];
    for (const [data, words, text] of refusals) {
      const { code, stderr } = await runCli(["start", "--data", data, ...ports, ...words]);
      expect(stderr).toContain(text);
      expect(stderr).toContain("INVALID_CONFIGURATION");
      expect(code).toBe(2);
    }
  });

  test("what cannot work ends with one line: a prefix of somebody else", async () => {
    const body = JSON.stringify({ key: base64("/foreign/key"), value: base64("theirs") });
    await fetch(`${etcd.endpoints[0]}/v3/kv/put`, { method: "POST", body });
    const home = ["--engine", "etcd", "--endpoints", etcd.endpoints.join(","), "--engine-prefix", "/foreign"];
    const ports = ["--resp-port", "0", "--http-port", "0"];
    const { code, stderr } = await runCli(["start", "--data", path.join(root, "foreign"), ...ports, ...home]);
    expect(stderr).toContain("which is not Quipu's");
    expect(code).not.toBe(0);
  });
});

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

/** Of the batches that etcd holds at present. */
async function logBytes(endpoint: string): Promise<number> {
  const range = { key: base64("/quipu/log/"), range_end: base64("/quipu/log0") };
  const reply = await fetch(`${endpoint}/v3/kv/range`, { method: "POST", body: JSON.stringify(range) });
  return (await reply.text()).length;
}
