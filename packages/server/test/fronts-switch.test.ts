/** Logs that go on in another service while clients write: of nodes in front of one, and of a single process. */
import path from "node:path";
import { type EtcdMembers, hasEtcd, startEtcdMembers } from "@quipu/log-etcd/testing";
import { startZooKeeper, type ZooKeeperEnsemble, zooKeeperMissing } from "@quipu/log-zookeeper/testing";
import { ChildServer } from "quipu/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask, eventually, Load, startFront, statusOf } from "./front-processes.ts";
import { runCli } from "./run-cli.ts";
import { temporaryDirectory } from "./temporary.ts";

/** It applied less than it has. */
async function beganAboveSnapshot(server: ChildServer): Promise<boolean> {
  const [shard] = (await statusOf(server)).shards;
  return shard !== undefined && Number(shard.appliedPosition) > shard.recordsApplied;
}

const missing = zooKeeperMissing();
if (missing !== undefined) console.warn(`${missing}: switches are not tested`);

describe.skipIf(!hasEtcd() || missing !== undefined)("engine switch", () => {
  const root = temporaryDirectory();
  const servers: ChildServer[] = [];
  let etcd: EtcdMembers;
  let zooKeeper: ZooKeeperEnsemble;

  beforeAll(async () => {
    [etcd, zooKeeper] = await Promise.all([startEtcdMembers(), startZooKeeper(1)]);
  }, 120_000);

  afterAll(async () => {
    for (const server of servers) server.killNow();
    await Promise.all([etcd.stop(), zooKeeper.stop()]);
  });

  async function switchTo(server: ChildServer, engine: string, endpoints?: readonly string[]): Promise<void> {
    const where = endpoints === undefined ? [] : ["--endpoints", endpoints.join(",")];
    const { code, stdout, stderr } = await runCli(["engine", "switch", engine, ...where, "--endpoint", server.httpUrl]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout).toContain(`to ${engine} at position`);
  }

  test("fronts of an etcd go on in a ZooKeeper and come back, all of them", { timeout: 180_000 }, async () => {
    const [one, two] = await Promise.all(
      ["one", "two"].map((name) => startFront(path.join(root, name), "etcd", etcd.endpoints)),
    );
    if (one === undefined || two === undefined) throw new Error("no fronts");
    servers.push(one, two);
    const loads = [new Load(one.url, "moved"), new Load(two.url, "moved")];
    const more = (): Promise<unknown> => Promise.all(loads.map((load) => load.more(20)));
    await more();
    await switchTo(one, "zookeeper", zooKeeper.endpoints);
    await more();
    await eventually("both on ZooKeeper", async () =>
      (await statusOf(two)).engine === "zookeeper" ? true : undefined,
    );
    // Its chain is in the etcd, its log in the ZooKeeper.
    await two.stop("SIGKILL");
    await two.restart();
    await more();
    await switchTo(two, "etcd", etcd.endpoints);
    await more();
    await eventually("both on etcd", async () => ((await statusOf(one)).engine === "etcd" ? true : undefined));
    const added = await Promise.all(loads.map((load) => load.stop()));
    const sum = String(added.reduce((total, each) => total + each, 0));
    expect(await ask(one, "GET", "moved")).toBe(sum);
    expect(await ask(two, "GET", "moved")).toBe(sum);
    for (const engine of ["raft", "multi-paxos", "local"]) {
      const { code, stderr } = await runCli(["engine", "switch", engine, "--endpoint", one.httpUrl]);
      expect(stderr).toContain("for raft, multi-paxos or local start a cell");
      expect(code).not.toBe(0);
    }
    const { stderr } = await runCli(["engine", "switch", "zookeeper", "--endpoint", one.httpUrl]);
    expect(stderr).toContain("where is zookeeper?");
  });

  test("fronts of a ZooKeeper: killed under load, and one that comes after a trim", { timeout: 180_000 }, async () => {
    const start = async (name: string): Promise<ChildServer> => {
      const server = await startFront(path.join(root, name), "zookeeper", zooKeeper.endpoints);
      servers.push(server);
      return server;
    };
    const [one, two] = await Promise.all([start("z1"), start("z2")]);
    const loads = [new Load(one.url, "zoo"), new Load(two.url, "zoo")];
    await Promise.all(loads.map((load) => load.more(20)));
    await one.stop("SIGKILL");
    await loads[1]?.more(20);
    await one.restart();
    await loads[0]?.more(20);
    const added = await Promise.all(loads.map((load) => load.stop()));
    const sum = String(added.reduce((total, each) => total + each, 0));
    expect(await ask(one, "GET", "zoo")).toBe(sum);
    // A little more than what makes a snapshot worth its while: the heap of the test's ZooKeeper is small.
    for (let i = 0; i < 15; i++) expect(await ask(two, "SET", `large-${i % 3}`, "x".repeat(600_000))).toBe("OK");
    const three = await eventually("a node that starts from a snapshot", async () => {
      const server = await start(`z3-${servers.length}`);
      if (await beganAboveSnapshot(server)) return server;
      await server.stop("SIGKILL");
      return undefined;
    });
    expect(await ask(three, "GET", "zoo")).toBe(sum);
    expect(await ask(three, "GET", "large-2")).toHaveLength(600_000);
  });

  test("a single process goes on in an etcd, is killed there, and comes home", { timeout: 180_000 }, async () => {
    const extraArguments = ["--checkpoint-seconds", "1", "--engine-prefix", "/single"];
    const server = await ChildServer.start({ dataDirectory: path.join(root, "single"), extraArguments });
    servers.push(server);
    const load = new Load(server.url, "moved");
    await load.more(50);
    await switchTo(server, "etcd", etcd.endpoints);
    await load.more(50);
    await server.stop("SIGKILL");
    await server.restart();
    expect((await statusOf(server)).engine).toBe("etcd");
    await load.more(50);
    await switchTo(server, "local");
    await load.more(50);
    // The next checkpoint is all that anybody needs of the etcd.
    await eventually("one segment", async () => ((await statusOf(server)).chain.length === 1 ? true : undefined));
    await switchTo(server, "zookeeper", zooKeeper.endpoints);
    await load.more(50);
    const added = await load.stop();
    expect(await ask(server, "GET", "moved")).toBe(String(added));
    await server.stop("SIGTERM");
    await server.restart();
    expect(await ask(server, "GET", "moved")).toBe(String(added));
    const { stderr } = await runCli(["engine", "switch", "raft", "--endpoint", server.httpUrl]);
    expect(stderr).toContain("raft is of a cell");
  });

  test("a single process whose log is away says so, and serves when it is back", { timeout: 180_000 }, async () => {
    const dataDirectory = path.join(root, "waiting");
    const server = await ChildServer.start({ dataDirectory, extraArguments: ["--engine-prefix", "/waiting"] });
    servers.push(server);
    await switchTo(server, "etcd", etcd.endpoints);
    expect(await ask(server, "INCR", "late")).toBe(1);
    await server.stop("SIGTERM");
    await etcd.kill(0);
    const restarting = server.restart();
    const detail = await eventually("a door", async () => {
      const response = await fetch(`${server.httpUrl}/readyz`);
      const problem = (await response.json()) as { readonly detail?: string };
      return problem.detail?.includes("ECONNREFUSED") === true ? problem.detail : undefined;
    });
    expect(detail).toContain("waits for etcd");
    await etcd.restart(0);
    await restarting;
    expect(await ask(server, "INCR", "late")).toBe(2);
  });
});
