/** Live switches of a cell of real processes: under load, with kills amid, onto etcd and ZooKeeper, and what is refused. */
import { checkHistory } from "@quipu/simulator";
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ChaosCell, type Fault, faults, LocalCell, RawConnection, runChaos, Services } from "quipu/testing";
import { runCli } from "./run-cli.ts";
import { temporaryDirectory } from "./temporary.ts";

const named = (name: string): Fault => faults.find((fault) => fault.name === name) as Fault;

/** Exact counts, one state, and what clients saw is linearizable. */
async function survives(series: readonly Fault[], seed: number, services?: Services): Promise<void> {
  const lines: string[] = [];
  const result = await runChaos({
    directory: temporaryDirectory(),
    seed,
    seconds: 1,
    nodes: 3,
    print: (line) => void lines.push(line),
    series,
    ...(services === undefined ? {} : { services }),
  });
  expect(result.problems, lines.join("\n")).toEqual([]);
  expect(result.events.map(({ what }) => what)).toEqual(series.map(({ name }) => name));
  expect(result.acknowledged).toBeGreaterThan(100);
  expect(checkHistory(result.history, { initial: null })).toEqual({ type: "linearizable" });
}

/** A switch to this engine, whatever the seed. */
function switchTo(engine: string): Fault {
  return {
    name: `to ${engine}`,
    weight: 0,
    run: async ({ cell, services, note }) => {
      const endpoints = services?.endpoints[engine as "etcd"];
      note(await cell.ask({ type: "switchEngine", engine, endpoints }));
      const statuses = await Promise.all(cell.nodes.map((node) => cell.status(node)));
      expect(statuses.map((status) => status?.engine)).toContain(engine);
    },
  };
}

test(
  "raft to multi-paxos and back, a kill amid a switch, a lost disk on multi-paxos",
  { timeout: 240_000 },
  async () => {
    await survives(
      [
        switchTo("multi-paxos"),
        named("kill amid a switch"),
        switchTo("multi-paxos"),
        named("wipe a node"),
        switchTo("raft"),
      ],
      11,
    );
  },
);

const hasServices = existsSync("/usr/bin/etcd") && existsSync("/usr/share/java/zookeeper.jar");
const isRequired = (process.env["CI"] ?? "") !== "";
if (!hasServices && !isRequired) console.warn("etcd or ZooKeeper is missing: switches to them are not tested");

describe.skipIf(!hasServices && !isRequired)("with etcd and ZooKeeper", () => {
  test(
    "there and back, a member of the service killed meanwhile, a node killed amid",
    { timeout: 300_000 },
    async () => {
      const services = await Services.start();
      try {
        const series = [
          switchTo("etcd"),
          named("kill a member of the service"),
          named("kill a node"),
          switchTo("zookeeper"),
          named("kill a member of the service"),
          named("kill amid a switch"),
          switchTo("raft"),
        ];
        await survives(series, 12, services);
      } finally {
        await services.stop();
      }
    },
  );
});

describe("by hand", () => {
  test(
    "engines are listed with the chain; what cannot be is refused and changes nothing",
    { timeout: 120_000 },
    async () => {
      const cell = await ChaosCell.start(temporaryDirectory(), 3);
      try {
        const [node] = cell.nodes;
        const endpoint = ["--endpoint", node?.server.httpUrl ?? ""];
        const cli = (...words: readonly string[]): ReturnType<typeof runCli> =>
          runCli(["engine", ...words, ...endpoint]);
        const listed = await cli("list", "--output", "json");
        expect(listed.code).toBe(0);
        expect(JSON.parse(listed.stdout)).toMatchObject({
          engines: expect.arrayContaining([expect.objectContaining({ name: "raft", isPresent: true })]) as unknown,
          shards: [{ shard: 0, chain: [{ base: "1", engine: "raft", end: null }] }],
        });
        const local = await cli("switch", "local");
        expect(local.code).not.toBe(0);
        expect(local.stderr).toContain("this cell has 3 that vote");
        const nowhere = await cli("switch", "etcd");
        expect(nowhere.stderr).toContain("--endpoints");
        const absent = await cli("switch", "etcd", "--endpoints", "http://127.0.0.1:1");
        expect(absent.stderr).toMatch(/127\.0\.0\.1:1.*ECONNREFUSED.*NOQUORUM/u);
        const unknown = await cli("switch", "chalk");
        expect(unknown.stderr).toContain("raft, multi-paxos");
        expect((await cell.status(node as NonNullable<typeof node>))?.chain).toHaveLength(1);
        const switched = await cli("switch", "multi-paxos");
        expect(switched.stdout).toMatch(/^from raft to multi-paxos at position \d+; longest time .*: \d+ ms/u);
        expect((await cli("list")).stdout).toMatch(/^\* multi-paxos/mu);
      } finally {
        await cell.dispose();
      }
    },
  );

  test("a cell of one node begins on its own disk and grows onto raft", { timeout: 120_000 }, async () => {
    const options = { directory: temporaryDirectory(), nodes: 3, founders: 1 };
    const cell = await LocalCell.prepare({
      ...options,
      argumentsOf: (name) => (name === "n1" ? ["--engine", "local"] : []),
    });
    try {
      await cell.startFounders(1);
      const [one, two] = cell.nodes;
      const ask = (node: typeof one, ...words: readonly string[]): Promise<unknown> =>
        RawConnection.askOnce(node?.server.respPort ?? 0, ...words);
      expect(await ask(one, "INCR", "a")).toBe(1);
      const cli = (...words: readonly string[]): ReturnType<typeof runCli> =>
        runCli([...words, "--endpoint", one?.server.httpUrl ?? ""]);
      expect((await cli("engine", "list")).stdout).toMatch(/^\* local/mu);
      for (const node of cell.nodes.slice(1)) {
        expect((await cli("cell", "add", `${node.name}=127.0.0.1:${node.peerPort}`)).code).toBe(0);
      }
      const started = cell.nodes.slice(1).map(({ server }) => server.restart());
      let switched = await cli("engine", "switch", "raft");
      // While the cell takes its nodes in, somebody else may lead it for a moment.
      for (let attempt = 0; switched.code !== 0 && attempt < 40; attempt++)
        switched = await cli("engine", "switch", "raft");
      expect(switched.stdout).toContain("from local to raft");
      await Promise.all(started);
      expect(await ask(two, "INCR", "a")).toBe(2);
      expect(await ask(one, "GET", "a")).toBe("2");
    } finally {
      await cell.stop("SIGKILL");
    }
  });
});
