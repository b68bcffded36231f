/** Several endpoints: exact counts, order and honest outcomes through whatever happens to the doors of a cell. */
import { type Random, SeededRandom } from "@quipu/core";
import { type Client, type ClientOptions, connect, operationsPerBatchMax, QuipuError } from "@quipu/client";
import { addMany, checkExact } from "@quipu/client/testing";
import { policyNames } from "@quipu/routing";
import { beforeEach, describe, expect, test } from "vitest";
import { FakeCell } from "./fake-cell.ts";
import { VirtualClock } from "./virtual-clock.ts";

let clock: VirtualClock;
let cell: FakeCell;

function setUp(seed: number): void {
  clock = new VirtualClock();
  cell = new FakeCell(clock, new SeededRandom(seed + 1000));
}

beforeEach(() => setUp(1));

function open(options: ClientOptions = {}, seed = 1): Promise<Client> {
  const ports = { clock, random: new SeededRandom(seed), connectSocket: cell.connectSocket };
  return clock.until(connect(cell.url, { requestTimeoutMs: 0, ...options, ports }));
}

async function close(client: Client): Promise<void> {
  await clock.until(client.close());
  expect(cell.store.breaches).toEqual([]);
}

type Trouble = "crash" | "hang" | "hang all" | "cut all" | "slow" | "garble" | `refuse:${string}`;
const ordered: readonly Trouble[] = ["crash", "hang", "hang", "hang all", "cut all", "cut all", "slow", "garble"];
const everything: readonly Trouble[] = [
  ...ordered,
  "refuse:OVERLOADED queue full",
  "refuse:INDOUBT gave up",
  "refuse:applied:INDOUBT gave up",
  "refuse:NOQUORUM no leader",
];

/** Troubles one door after another, often several at a time, until stopped. */
function trouble(
  random: Random,
  kinds: readonly Trouble[],
  intervalMsMax = 40,
): { stop(): void; readonly count: number } {
  let stopped = false;
  let count = 0;
  const next = (): void => {
    if (stopped) return;
    count++;
    const door = cell.doors[random.below(cell.doors.length)] as (typeof cell.doors)[0];
    const kind = kinds[random.below(kinds.length)] as Trouble;
    if (kind === "crash") door.crash();
    else if (kind === "hang") door.hang();
    else if (kind === "hang all") for (const each of cell.doors) each.hang();
    else if (kind === "cut all") for (const each of cell.doors) each.cutAll();
    else if (kind === "garble") door.garbleAt = door.batches + 1;
    else if (kind === "slow") door.latencyMs = 1 + random.below(400);
    else door.refusal = kind.slice("refuse:".length);
    clock.setTimer(1 + random.below(random.chance(1, 3) ? 3000 : 100), () => {
      door.latencyMs = 1;
      if (kind === "hang all") cell.heal();
      else door.heal();
    });
    clock.setTimer(1 + random.below(intervalMsMax), next);
  };
  next();
  return {
    stop: () => {
      stopped = true;
      for (const door of cell.doors) Object.assign(door, { latencyMs: 1, garbleAt: undefined });
      cell.heal();
    },
    get count() {
      return count;
    },
  };
}

describe("exact", () => {
  test.each(policyNames.flatMap((balancer) => [1, 2].map((seed) => [balancer, seed] as const)))(
    "%s, seed %i: doors crash, hang, refuse, lose requests and replies",
    async (balancer, seed) => {
      setUp(seed);
      const client = await open({ balancer, sessions: seed }, seed);
      const troubles = trouble(new SeededRandom(seed), everything);
      const expected = await clock.until(addMany(client, seed, 10, 200));
      troubles.stop();
      await clock.until(checkExact(client, expected));
      expect(troubles.count).toBeGreaterThan(30);
      expect(cell.store.replayed).toBeGreaterThan(5);
      expect(cell.doors.filter((door) => door.batches > 10).length).toBeGreaterThan(1);
      // Nothing that is still on its way changes anything.
      const values = new Map(cell.store.values);
      await clock.pass(60_000);
      expect(cell.store.values).toEqual(values);
      await close(client);
    },
  );

  test("the same seed gives the same run", async () => {
    const run = async (): Promise<unknown> => {
      setUp(5);
      const client = await open({}, 5);
      const troubles = trouble(new SeededRandom(5), everything);
      await clock.until(addMany(client, 5, 4, 30));
      troubles.stop();
      await close(client);
      return [clock.monotonicMs(), cell.store.applied, cell.store.replayed, cell.doors.map((door) => door.batches)];
    };
    expect(await run()).toEqual(await run());
  });
});

describe("order", () => {
  test.each([1, 2, 3, 4, 5, 6])("seed %i: one session keeps all calls in order, over all keys", async (seed) => {
    setUp(seed);
    const client = await open({}, seed);
    const values = (key: string): bigint => cell.store.values.get(key) ?? 0n;
    let outOfOrder = 0;
    cell.store.onApplied = () => {
      if (values("a") !== values("b") && values("a") !== values("b") + 1n) outOfOrder++;
    };
    const troubles = trouble(new SeededRandom(seed), ordered, 25);
    const calls: Promise<unknown>[] = [];
    const replies: bigint[] = [];
    for (let call = 1n; call <= 1000n; call++) {
      calls.push(client.counter("a").set(call), client.counter("b").set(call));
      calls.push(
        client
          .counter("sum")
          .add()
          .then((value) => replies.push(value)),
      );
      // Not awaited: several batches are in flight, and more wait.
      if (call % 2n === 0n) await clock.pass(3);
    }
    await clock.until(Promise.all(calls));
    troubles.stop();
    expect(outOfOrder).toBe(0);
    expect(replies).toEqual(replies.map((_, index) => BigInt(index + 1)));
    expect(cell.store.replayed + cell.store.late).toBeGreaterThan(0);
    await close(client);
  });

  test.each([1, 2, 3])("seed %i: several sessions keep it per key and per hash tag", async (seed) => {
    setUp(seed);
    const client = await open({ sessions: 4 }, seed);
    const values = (key: string): bigint => cell.store.values.get(key) ?? 0n;
    const keys = ["k1", "k2", "k3", "k4", "k5"];
    let outOfOrder = 0;
    cell.store.onApplied = () => {
      if (values("{t}a") !== values("{t}b") && values("{t}a") !== values("{t}b") + 1n) outOfOrder++;
    };
    const troubles = trouble(new SeededRandom(seed), ordered, 25);
    const calls: Promise<unknown>[] = [];
    const replies = new Map<string, bigint[]>(keys.map((key) => [key, []]));
    for (let call = 1n; call <= 200n; call++) {
      calls.push(client.counter("{t}a").set(call), client.counter("{t}b").set(call));
      for (const key of keys) {
        const add = client.counter(key).add();
        calls.push(add.then((value) => replies.get(key)?.push(value)));
      }
      if (call % 2n === 0n) await clock.pass(3);
    }
    await clock.until(Promise.all(calls));
    troubles.stop();
    expect(outOfOrder).toBe(0);
    for (const got of replies.values()) expect(got).toEqual(got.map((_, index) => BigInt(index + 1)));
    await close(client);
  });
});

test("a link given up for nonsense: what was behind it goes first elsewhere, then what is newer", async () => {
  const client = await open();
  for (const door of cell.doors) door.garbleAt = door.batches + 2;
  const counter = client.counter("a");
  const adds = Array.from({ length: 3 * operationsPerBatchMax }, () => counter.add());
  // Called when the reply to the first batch is read, in one chunk with the nonsense.
  const newer = adds[0]?.then(() => {
    for (const door of cell.doors) door.garbleAt = undefined;
    return counter.add();
  });
  expect(await clock.until(Promise.all(adds))).toEqual(adds.map((_, index) => BigInt(index + 1)));
  expect(await clock.until(newer as Promise<bigint>)).toBe(BigInt(adds.length + 1));
  await close(client);
});

describe("outcomes", () => {
  test.each([1, 2, 3, 4])(
    "seed %i: definite means not made, resolved means made, whatever was attempted",
    async (seed) => {
      setUp(seed);
      const client = await open({ requestTimeoutMs: 120, hedgeMinMs: 40, sessionTtlMs: 3000 }, seed);
      const advance = (): void => {
        cell.store.nowMs = Math.max(cell.store.nowMs, clock.wallMs());
        clock.setTimer(50, advance);
      };
      advance();
      const troubles = trouble(new SeededRandom(seed), everything);
      const outcomes = new Map<string, "made" | "definite" | "unknown">();
      const caller = async (name: number): Promise<void> => {
        for (let add = 0; add < 300; add++) {
          const key = `${name}:${add}`;
          try {
            await client.counter(key).add();
            outcomes.set(key, "made");
          } catch (error) {
            outcomes.set(key, error instanceof QuipuError ? error.outcome : "made");
          }
        }
      };
      await clock.until(Promise.all([1, 2, 3, 4, 5, 6].map(caller)));
      troubles.stop();
      await clock.pass(20_000);
      const count = { made: 0, definite: 0, unknown: 0 };
      for (const [key, outcome] of outcomes) {
        count[outcome]++;
        const value = cell.store.values.get(key) ?? 0n;
        if (outcome === "made") expect(value, key).toBe(1n);
        if (outcome === "definite") expect(value, key).toBe(0n);
        expect(value, key).toBeLessThanOrEqual(1n);
      }
      expect(count.made).toBeGreaterThan(100);
      expect(count.unknown).toBeGreaterThan(0);
      await close(client);
    },
  );

  test("a refusal through another door does not decide while the first may yet answer", async () => {
    const client = await open();
    for (const door of cell.doors) door.hang();
    const add = client.counter("a").add();
    // All doors have it by now, one after another, and none has read it. Two will refuse it for good.
    await clock.pass(1000);
    for (const door of cell.doors.slice(1)) {
      door.heal("NOAUTH Authentication required.");
    }
    await clock.pass(100);
    expect(cell.doors.map((door) => door.batches)).toEqual([0, 1, 1]);
    cell.doors[0]?.heal();
    expect(await clock.until(add)).toBe(1n);
    await close(client);
  });

  test("it decides, as unknown, once the first door is gone without an answer", async () => {
    const client = await open();
    for (const door of cell.doors) door.hang();
    const add = client.counter("a").add();
    const failed = expect(add).rejects.toMatchObject({ code: "UNAUTHENTICATED", outcome: "unknown" });
    await clock.pass(1000);
    for (const door of cell.doors.slice(1)) door.heal("NOAUTH Authentication required.");
    await clock.pass(100);
    cell.doors[0]?.crash();
    await clock.until(failed);
    await close(client);
  });

  test("refused by every door until the deadline: OVERLOADED, definite", async () => {
    const client = await open({ requestTimeoutMs: 1000 });
    for (const door of cell.doors) door.refusal = "OVERLOADED queue full";
    const add = clock.until(client.counter("a").add());
    await expect(add).rejects.toMatchObject({ code: "OVERLOADED", outcome: "definite" });
    for (const door of cell.doors) expect(door.batches).toBeGreaterThan(0);
    await close(client);
  });
});
