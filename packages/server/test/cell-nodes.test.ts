/** One cell of three real processes: every node is a front door, timers survive stalls, a leader that slept does not lie. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { ChaosCell, type LocalNode, RawConnection } from "quipu/testing";
import { runCli } from "./run-cli.ts";
import { temporaryDirectory } from "./temporary.ts";

const directory = temporaryDirectory();
let cell: ChaosCell;

beforeAll(async () => {
  cell = await ChaosCell.start(directory, 3);
}, 120_000);

afterAll(async () => {
  const { surprises } = cell;
  await cell.dispose();
  expect(surprises).toEqual([]);
});

function ask(node: LocalNode, ...words: readonly string[]): Promise<unknown> {
  return RawConnection.askOnce(node.server.respPort, ...words);
}

async function term(node: LocalNode): Promise<number> {
  return cell.until("a status", async () => (await cell.status(node))?.cell?.term);
}

async function follower(): Promise<LocalNode> {
  const leader = await cell.leader();
  return cell.nodes.find((node) => node !== leader) as LocalNode;
}

/** All say the same about who leads; then nobody is about to be elected. */
async function agreed(): Promise<{ readonly leader: LocalNode; readonly term: number }> {
  return cell.until("an agreement", async () => {
    const cells = await Promise.all(cell.nodes.map(async (node) => (await cell.status(node))?.cell));
    const [first] = cells;
    const isOne = cells.every((each) => each?.term === first?.term && each?.leader === first?.leader);
    if (!isOne || first?.leader === null || first?.leader === undefined) return undefined;
    return { leader: await cell.leader(), term: first.term };
  });
}

test("every node reads what any node acknowledged, over RESP and HTTP", async () => {
  const [one, two, three] = cell.nodes as readonly [LocalNode, LocalNode, LocalNode];
  for (let round = 1; round <= 5; round++) {
    for (const [index, node] of cell.nodes.entries()) {
      const expected = (round - 1) * 3 + index + 1;
      expect(await ask(node, "INCR", "doors")).toBe(expected);
      for (const other of cell.nodes) expect(await ask(other, "GET", "doors")).toBe(String(expected));
    }
  }
  const response = await fetch(`${two.server.httpUrl}/v1/counters/doors`);
  expect(await response.json()).toMatchObject({ value: "15" });
  expect(await ask(one, "Q.ONCE", "order-1", "INCRBY", "doors", "10")).toBe(25);
  expect(await ask(three, "Q.ONCE", "order-1", "INCRBY", "doors", "10")).toBe(25);
});

test("a transaction at one node fails if another node wrote what it watches", async () => {
  const [one, two] = cell.nodes as readonly [LocalNode, LocalNode, LocalNode];
  const connection = await RawConnection.open(one.server.respPort);
  const run = async (meanwhile: () => Promise<unknown>): Promise<unknown> => {
    await connection.ask("WATCH", "watched");
    await meanwhile();
    await connection.ask("MULTI");
    await connection.ask("INCR", "watched");
    return connection.ask("EXEC");
  };
  expect(await run(() => Promise.resolve())).toEqual([1]);
  expect(await run(() => ask(two, "SET", "watched", "5"))).toBeNull();
  expect(await run(() => Promise.resolve())).toEqual([6]);
  connection.close();
});

test(
  "a follower that was stopped, or whose event loop stood still, calls no election",
  { timeout: 120_000 },
  async () => {
    const before = await agreed();
    const stopped = await follower();
    stopped.server.signal("SIGSTOP");
    // Longer than any election timeout: its timer is overdue when it goes on, with heartbeats waiting to be read.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    stopped.server.signal("SIGCONT");
    // It takes part again: a read at its door needs the leader's word.
    await cell.until("an answer", async () => ((await ask(stopped, "INCR", "stops")) === 1 ? true : undefined));
    await cell.tell(stopped, { type: "block", ms: 1_500 });
    expect(await ask(stopped, "INCR", "stops")).toBe(2);
    await cell.whenWhole();
    expect(await agreed()).toEqual(before);
  },
);

test("a leader that was stopped steps down, and answers no read with what it knew", { timeout: 120_000 }, async () => {
  const { leader } = await agreed();
  const others = cell.nodes.filter((node) => node !== leader);
  await ask(leader, "SET", "sleeper", "1");
  const before = await term(leader);
  leader.server.signal("SIGSTOP");
  // The read waits in the socket for the moment when it goes on.
  const connection = await RawConnection.open(leader.server.respPort);
  const early = connection.ask("GET", "sleeper");
  early.catch(() => undefined);
  await cell.until("another leader", async () => {
    const said = await Promise.all(others.map(async (node) => (await cell.status(node))?.cell?.leader));
    return said.every((name) => name !== null && name !== undefined && name !== leader.name) ? true : undefined;
  });
  await cell.until("a write without it", async () =>
    (await ask(others[0] as LocalNode, "SET", "sleeper", "2")) === "OK" ? true : undefined,
  );
  leader.server.signal("SIGCONT");
  // The read that was sent before the write ended may see either; one that is sent now may not.
  const [now, then] = await Promise.all([ask(leader, "GET", "sleeper"), early]);
  expect(["1", "2"]).toContain(then);
  expect(now).toBe("2");
  await cell.whenWhole();
  expect(await term(leader)).toBeGreaterThan(before);
});

test("a killed leader comes back with everything that was counted without it", { timeout: 120_000 }, async () => {
  const { leader } = await agreed();
  const other = cell.nodes.find((node) => node !== leader) as LocalNode;
  await cell.kill(leader);
  let counted = 0;
  await cell.until("a hundred counts", async () => {
    if (typeof (await ask(other, "INCR", "orphans")) === "number") counted++;
    return counted === 100 ? true : undefined;
  });
  await cell.restart(leader);
  expect(await ask(leader, "GET", "orphans")).toBe("100");
  await cell.whenWhole();
  await cell.whenEqual();
});

test("operators change the cell by quipu cell, at any node", { timeout: 180_000 }, async () => {
  const { leader } = await agreed();
  const target = cell.nodes.find((node) => node !== leader) as LocalNode;
  const third = cell.nodes.find((node) => node !== leader && node !== target) as LocalNode;
  const operate = (...words: readonly string[]) => runCli(["cell", ...words, "--endpoint", third.server.httpUrl]);
  const transfer = await operate("transfer-leadership", target.name);
  expect(transfer).toMatchObject({ code: 0, stderr: "" });
  expect(transfer.stdout).toContain(`${target.name} leads`);
  expect(await operate("remove", "n9")).toMatchObject({ code: 1, stdout: "" });
  expect((await operate("remove", target.name)).stderr).toContain("transfer-leadership");
  expect((await operate("replace", third.name)).stderr).toContain("is alive; stop it first, or say --force");
  expect((await operate("promote", third.name)).stdout).toContain("is a voter already");
  expect(await operate("add", "n 4")).toMatchObject({ code: 2 });
});

test(
  "a node that lost its disk is refused until it is replaced, then votes as a new member",
  { timeout: 180_000 },
  async () => {
    const { leader } = await agreed();
    const node = cell.nodes.find((each) => each !== leader) as LocalNode;
    const memberOf = async (): Promise<number | null | undefined> =>
      (await cell.status(leader))?.cell?.nodes.find(({ name }) => name === node.name)?.member;
    const before = await memberOf();
    expect(await ask(leader, "SET", "kept", "7")).toBe("OK");
    await cell.kill(node);
    cell.wipe(node);
    const replaced = await runCli(["cell", "replace", node.name, "--force", "--endpoint", leader.server.httpUrl]);
    expect(replaced).toMatchObject({ code: 0, stderr: "" });
    await cell.restart(node);
    await cell.whenWhole();
    expect(await memberOf()).not.toBe(before);
    expect(await ask(node, "GET", "kept")).toBe("7");
    await cell.whenEqual();
  },
);
