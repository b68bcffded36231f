/** Several endpoints: how soon a door is left, how load spreads, how much is sent twice, who is asked. */
import { type Client, type ClientOptions, connect, sessionsMax } from "@quipu/client";
import { SeededRandom } from "@quipu/core";
import { policyNames, retryBudgetDefaults } from "@quipu/routing";
import { beforeEach, describe, expect, test } from "vitest";
import { FakeCell, firstPort } from "./fake-cell.ts";
import { VirtualClock } from "./virtual-clock.ts";

let clock: VirtualClock;
let cell: FakeCell;

beforeEach(() => {
  clock = new VirtualClock();
  cell = new FakeCell(clock, new SeededRandom(1));
});

function open(options: ClientOptions = {}, url: string | readonly string[] = cell.url): Promise<Client> {
  const ports = { clock, random: new SeededRandom(2), connectSocket: cell.connectSocket };
  return clock.until(connect(url, { requestTimeoutMs: 0, ...options, ports }));
}

const received = (): number[] => cell.doors.map((door) => door.batches);

/** Adds one after another for `ms`; the longest wait for one of them. */
async function longestWaitMs(client: Client, ms: number): Promise<number> {
  const endMs = clock.monotonicMs() + ms;
  let longestMs = 0;
  while (clock.monotonicMs() < endMs) {
    const begunMs = clock.monotonicMs();
    await clock.until(client.counter("a").add());
    longestMs = Math.max(longestMs, clock.monotonicMs() - begunMs);
  }
  return longestMs;
}

describe("failover", () => {
  test("a door that crashes costs a round trip, not a pause; it is used again once it is back", async () => {
    const client = await open({ balancer: "round-robin" });
    await longestWaitMs(client, 200);
    cell.doors[1]?.crash();
    expect(await longestWaitMs(client, 2000)).toBeLessThan(10);
    cell.doors[1]?.heal();
    const before = received()[1] ?? 0;
    await longestWaitMs(client, 10_000);
    expect((received()[1] ?? 0) - before).toBeGreaterThan(200);
    await clock.until(client.close());
  });

  test("a door that hangs is left within 300 ms, its connection kept; what it does later changes nothing", async () => {
    const client = await open({ balancer: "round-robin" });
    await longestWaitMs(client, 100);
    cell.doors[1]?.hang();
    expect(await longestWaitMs(client, 3000)).toBeLessThan(300);
    // Only the first request met it, once; the rest did not try.
    expect(cell.store.replayed + cell.store.late).toBe(0);
    const value = cell.store.values.get("a");
    cell.doors[1]?.heal();
    await clock.pass(1000);
    expect(cell.store.values.get("a")).toBe(value);
    expect(cell.store.late).toBe(1);
    expect(cell.doors.map((door) => door.connections)).toEqual([1, 1, 1]);
    await longestWaitMs(client, 100);
    expect(received()[1]).toBeGreaterThan(10);
    await clock.until(client.close());
  });

  test("slow is not hung: a cell of which every door takes 400 ms is soon not hedged any more", async () => {
    const client = await open();
    for (const door of cell.doors) door.latencyMs = 200;
    await longestWaitMs(client, 10_000);
    const before = cell.store.replayed + cell.store.late;
    await longestWaitMs(client, 20_000);
    expect(cell.store.replayed + cell.store.late).toBe(before);
    await clock.until(client.close());
  });

  test("a door that refuses is left at once, without a pause", async () => {
    const client = await open({ backoffFirstMs: 500 });
    for (const refusal of ["OVERLOADED queue full", "NOQUORUM no leader", "INDOUBT gave up", "LOADING not ready"]) {
      const [door] = cell.doors;
      if (door !== undefined) door.refusal = refusal;
      expect(await longestWaitMs(client, 500)).toBeLessThan(20);
      cell.heal();
    }
    await clock.until(client.close());
  });
});

describe("spreading", () => {
  test.each(policyNames)("%s: one caller after another uses every door", async (balancer) => {
    const client = await open({ balancer });
    await longestWaitMs(client, 4000);
    const counts = received();
    const total = counts.reduce((sum, count) => sum + count, 0);
    for (const count of counts) expect(count).toBeGreaterThan(total * 0.2);
    await clock.until(client.close());
  });

  test("weights and zones by host and port", async () => {
    const [a, b, c] = [0, 1, 2].map((index) => `door:${firstPort + index}`) as [string, string, string];
    const weighted = await open({ balancer: "weighted", weights: { [a]: 8 } });
    await longestWaitMs(weighted, 1000);
    expect(received()[0]).toBeGreaterThan(5 * (received()[1] ?? 0));
    await clock.until(weighted.close());
    const before = received();
    const near = await open({ balancer: "locality", zone: "z", zones: { [a]: "y", [b]: "z", [c]: "y" } });
    await longestWaitMs(near, 1000);
    expect(received()[0]).toBe(before[0]);
    await clock.until(near.close());
  });

  test("a busy session moves now and then; several sessions use several doors at a time", async () => {
    const busy = async (sessions: number): Promise<number> => {
      const client = await open({ sessions, balancer: "least-outstanding" });
      const before = received();
      let stopped = false;
      const caller = async (name: number): Promise<void> => {
        while (!stopped) await client.counter(`key ${name}`).add();
      };
      const callers = Promise.all(Array.from({ length: 40 }, (_, index) => caller(index)));
      await clock.pass(sessions === 1 ? 10_000 : 300);
      stopped = true;
      await clock.until(callers);
      await clock.until(client.close());
      return received().filter((count, index) => count - (before[index] ?? 0) > 20).length;
    };
    expect(await busy(1)).toBeGreaterThan(1);
    expect(await busy(9)).toBe(3);
    expect(cell.store.breaches).toEqual([]);
  });
});

describe("retry budget", () => {
  test.each(["refusals", "lost connections"])(
    "a total outage by %s: few repetitions beyond those paced by backoff",
    async (outage) => {
      const client = await open({ backoffFirstMs: 100, backoffMaxMs: 100 });
      for (const door of cell.doors) {
        if (outage === "refusals") door.refusal = "OVERLOADED queue full";
        else door.cutsOnBatch = true;
      }
      const before = received().reduce((sum, count) => sum + count, 0);
      const adds: Promise<bigint>[] = [];
      // Sixteen batches in flight, one in each turn.
      for (let batch = 0; batch < 16; batch++) {
        adds.push(client.counter("a").add());
        await clock.pass(0.01);
      }
      const seconds = 30;
      await clock.pass(seconds * 1000);
      const sent = received().reduce((sum, count) => sum + count, 0) - before;
      const byBudget = retryBudgetDefaults.tokensMax + seconds * retryBudgetDefaults.perSecond + 16;
      // A pause lasts 50 ms at least; behind it every batch is sent once.
      expect(sent).toBeLessThanOrEqual(16 + byBudget + 20 * seconds * 16);
      // Lost links rest as well, so a pause is seldom due: without the budget there would be 1,108.
      if (outage === "lost connections") expect(sent).toBeLessThanOrEqual(16 + byBudget + 10 * seconds);
      expect(sent).toBeGreaterThan(16);
      for (const door of cell.doors) door.cutsOnBatch = false;
      cell.heal();
      const values = await clock.until(Promise.all(adds));
      expect(values.toSorted((x, y) => Number(x - y))).toEqual(values.map((_, index) => BigInt(index + 1)));
      await clock.until(client.close());
    },
  );

  test("a total outage by silence: each batch goes to each door once, then is waited for", async () => {
    const client = await open({ silenceTimeoutMs: 600_000 });
    for (const door of cell.doors) door.hang();
    const add = client.counter("a").add();
    await clock.pass(30_000);
    cell.heal();
    expect(await clock.until(add)).toBe(1n);
    await clock.pass(1000);
    expect(received()).toEqual([1, 1, 1]);
    await clock.until(client.close());
  });
});

describe("addresses", () => {
  test("lists, arrays, defaults, duplicates", async () => {
    const hosts = ["door:7001", "door:7002", "door:7003"];
    for (const url of [
      `quipu://:t@${hosts.join(",")}`,
      hosts.map((host) => `redis://:t@${host}/0`),
      [`quipu://:t@${hosts.join(",")}`, "quipu://:t@door:7001"],
    ]) {
      const before = cell.doors.map((door) => door.connections);
      const client = await open({}, url);
      await clock.pass(10);
      expect(cell.doors.map((door, index) => door.connections - (before[index] ?? 0))).toEqual([1, 1, 1]);
      await clock.until(client.close());
    }
  });

  test.each([
    [[]],
    [["quipu://:a@door:7001", "quipu://:b@door:7002"]],
    ["quipu://door:7001,"],
    ["quipu://door:7001,door:99999"],
    [`quipu://${Array.from({ length: 65 }, (_, index) => `door${index}`).join(",")}`],
  ])("%j is refused", async (address) => {
    await expect(connect(address)).rejects.toMatchObject({ code: "INVALID_CONFIGURATION" });
  });

  test("options out of range are refused", async () => {
    for (const options of [
      { sessions: 0 },
      { sessions: sessionsMax + 1 },
      { balancer: "best" as "random" },
      { weights: { "door:7001": 0 } },
    ]) {
      await expect(connect(cell.url, options)).rejects.toMatchObject({ code: "INVALID_CONFIGURATION" });
    }
  });

  test("a refused token: fails once every endpoint says so, not before", async () => {
    const wrong = "WRONGPASS invalid username-password pair or user is disabled.";
    for (const door of cell.doors.slice(1)) door.refuseGreeting = wrong;
    const client = await open();
    expect(await clock.until(client.counter("a").add())).toBe(1n);
    await clock.until(client.close());
    for (const door of cell.doors) door.refuseGreeting = wrong;
    await expect(open()).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    expect(clock.monotonicMs()).toBeLessThan(1000);
  });

  test("the cell's other doors are learned where the server tells them", async () => {
    cell.rows = [0, 1, 2].map((index) => [`n${index}`, "door", firstPort + index] as const);
    const client = await open({ discover: true, balancer: "round-robin" }, `quipu://door:${firstPort}`);
    await longestWaitMs(client, 100);
    for (const count of received()) expect(count).toBeGreaterThan(5);
    await clock.until(client.close());
    const single = await open({}, `quipu://door:${firstPort}`);
    await clock.pass(10);
    expect(cell.doors[1]?.connections).toBe(1);
    await clock.until(single.close());
  });
});
