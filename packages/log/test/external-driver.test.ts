/** The driver of external engines by itself, on a model service: batching, outcomes in outages, damage, limits, fairness. */
import { lsn, QuipuError, SeededRandom } from "@quipu/core";
import { expect, test } from "vitest";
import { batchBytesMax, checksumSeed, decodeBatch, drawId, encodeBatch } from "../src/engines/external/batch.ts";
import type { ExternalEngineOptions, ExternalLog, ExternalService, LogDelivery, LogHead, Loglet } from "../src/mod.ts";
import { TestCluster } from "./external-harness.ts";

const record = (text: string): Uint8Array => new TextEncoder().encode(text);

interface Opened {
  readonly log: Loglet;
  readonly texts: string[];
  readonly damages: QuipuError[];
}

/** One more node on the log, with a reader from the start. */
async function open(
  cluster: TestCluster,
  parameters: string,
  options: Partial<ExternalEngineOptions> = {},
): Promise<Opened> {
  const damages: QuipuError[] = [];
  const log = await cluster.engine({ onDamage: (error) => damages.push(error), ...options }).open(parameters);
  const texts: string[] = [];
  log.read(lsn(1), (delivery: LogDelivery) => {
    if (delivery.type === "gap") texts.push(`gap to ${delivery.trimmedUpTo}`);
    else for (const bytes of delivery.records) texts.push(new TextDecoder().decode(bytes));
  });
  return { log, texts, damages };
}

const untilTime = (cluster: TestCluster, ms: number): Promise<void> =>
  new Promise((resolve) => cluster.clock.setTimer(ms, resolve));
const outcome = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "ok",
    (error: QuipuError) => `${error.code} ${error.outcome}`,
  );
/** The model's state of the only log. */
function logOf({ cluster }: TestCluster): ReturnType<typeof cluster.log> {
  const [name = ""] = cluster.logs.keys();
  return cluster.log(name);
}

test("a batch comes back as it was, and no byte of it can be changed or lost, nor can it move to another log", () => {
  const seed = checksumSeed("a log");
  const records = [record(""), record("a"), new Uint8Array(300)];
  const batch = { id: drawId(new SeededRandom(1)), number: 7, first: 2 ** 40, records };
  const bytes = encodeBatch(batch, seed);
  expect(bytes.length).toBeLessThanOrEqual(batchBytesMax(records));
  expect(decodeBatch(bytes, seed)).toEqual(batch);
  for (let i = 0; i < bytes.length; i++) {
    const changed = bytes.slice();
    changed[i] = (changed[i] ?? 0) ^ 1;
    expect(() => decodeBatch(changed, seed)).toThrow();
    expect(() => decodeBatch(bytes.slice(0, i), seed)).toThrow();
  }
  expect(() => decodeBatch(bytes, checksumSeed("another"))).toThrow("wrong checksum");
});

test("appends that wait for the one under way go together, within the limits of a batch", async () => {
  const cluster = new TestCluster({ faults: { delayMsMax: 5 }, valueBytesMax: 500 });
  const { log, texts } = await open(cluster, await cluster.engine().prepare(), { settings: { batchRecordsMax: 10 } });
  await Promise.all(Array.from({ length: 100 }, (_, i) => log.append([record(`${i}`)])));
  expect(texts).toEqual(Array.from({ length: 100 }, (_, i) => `${i}`));
  expect(logOf(cluster).head().nextBatch - 1).toBe(10);
  await Promise.all(Array.from({ length: 10 }, () => log.append([new Uint8Array(200)])));
  expect(logOf(cluster).head().nextBatch - 1).toBe(15);
});

test("more than one value holds is refused, and so is more than may wait", async () => {
  const cluster = new TestCluster({ valueBytesMax: 1000 });
  const { log } = await open(cluster, await cluster.engine().prepare(), { settings: { appendsMax: 3 } });
  expect(await outcome(log.append([new Uint8Array(1000)]))).toBe("VALUE_TOO_LARGE definite");
  const appends = Array.from({ length: 5 }, (_, i) => log.append([record(`${i}`)]));
  expect(await Promise.all(appends.map(outcome))).toEqual([
    ...Array.from({ length: 3 }, () => "ok"),
    ...Array.from({ length: 2 }, () => "OVERLOADED definite"),
  ]);
  expect(await outcome(log.append([new Uint8Array(900)]))).toBe("ok");
});

test("a full service refuses; once there is room appends succeed again", async () => {
  const cluster = new TestCluster({ bytesMax: 600 });
  const { log } = await open(cluster, await cluster.engine().prepare());
  await log.append([new Uint8Array(400)]);
  expect(await outcome(log.append([new Uint8Array(400)]))).toBe("LOG_FULL definite");
  await log.trim(lsn(1));
  expect(await log.append([new Uint8Array(400)])).toEqual({ first: 2, last: 2 });
});

test("in an outage, what may have left is unknown after the deadline, what never left is refused; then all is well again", async () => {
  const cluster = new TestCluster({ faults: { delayMsMax: 1 } });
  const { log, texts } = await open(cluster, await cluster.engine().prepare());
  await log.append([record("before")]);
  // Carried out, but nobody hears of it.
  cluster.cluster.faults = { ...cluster.cluster.faults, answersLost: 1000 };
  const first = outcome(log.append([record("left")]));
  await untilTime(cluster, 50);
  cluster.cluster.isDown = true;
  const second = outcome(log.append([record("never left")]));
  const order: string[] = [];
  void first.then(() => order.push("first"));
  void second.then(() => order.push("second"));
  expect(await Promise.all([first, second])).toEqual(["LOG_APPEND_UNKNOWN unknown", "NOQUORUM definite"]);
  expect(order).toEqual(["first", "second"]);
  expect(await outcome(log.tail())).toBe("NOQUORUM definite");
  cluster.cluster.isDown = false;
  cluster.cluster.faults = { ...cluster.cluster.faults, answersLost: 0 };
  expect(await log.append([record("after")])).toEqual({ first: 3, last: 3 });
  expect(texts).toEqual(["before", "left", "after"]);
});

test("an append without an answer that was done is acknowledged once the service is back", async () => {
  const cluster = new TestCluster({ faults: { delayMsMax: 1 } });
  const { log, texts } = await open(cluster, await cluster.engine().prepare());
  cluster.cluster.faults = { ...cluster.cluster.faults, answersLost: 1000 };
  const append = log.append([record("a")]);
  await untilTime(cluster, 20);
  cluster.cluster.isDown = true;
  await untilTime(cluster, 3000);
  cluster.cluster.faults = { ...cluster.cluster.faults, answersLost: 0 };
  cluster.cluster.isDown = false;
  expect(await append).toEqual({ first: 1, last: 1 });
  expect(texts).toEqual(["a"]);
  expect(logOf(cluster).head().nextBatch).toBe(2);
});

for (const what of ["removed", "changed", "of another number"] as const) {
  test(`a follower that meets a batch that is ${what} names it and delivers nothing more`, async () => {
    const cluster = new TestCluster();
    const parameters = await cluster.engine().prepare();
    const service = tampering(cluster.cluster.connect(), {
      read: (from, batches) =>
        batches.flatMap((bytes, i) => {
          if (from + i !== 2) return from + i < 2 || what !== "removed" ? [bytes] : [];
          return what === "removed"
            ? []
            : [what === "changed" ? bytes.with(20, 1) : (batches[i + 1] ?? bytes.slice(1))];
        }),
    });
    const reader = await open(cluster, parameters, { service });
    const writer = await open(cluster, parameters);
    for (const text of ["a", "b", "c"]) await writer.log.append([record(text)]);
    await untilTime(cluster, 1000);
    expect(reader.texts).toEqual(["a"]);
    expect(reader.damages.map((error) => error.message)).toEqual([expect.stringMatching(/model, log \w+, batch 2: /)]);
    expect(await outcome(reader.log.append([record("d")]))).toBe("LOG_CORRUPT definite");
    expect(await outcome(reader.log.tail())).toBe("LOG_CORRUPT definite");
    expect(writer.texts).toEqual(["a", "b", "c"]);
  });
}

test("a head that is gone is damage", async () => {
  const cluster = new TestCluster();
  const { log, damages } = await open(cluster, await cluster.engine().prepare());
  await log.append([record("a")]);
  logOf(cluster).removeHead();
  await untilTime(cluster, 1000);
  expect(damages.map((error) => error.message)).toEqual([expect.stringContaining("its head is gone")]);
  expect(await outcome(log.append([record("b")]))).toBe("LOG_CORRUPT definite");
});

test.each([
  ["went back, as after a restore", { nextBatch: 2, tail: lsn(2) }],
  ["has a tail that its batches do not reach", { tail: lsn(9) }],
])("a head that %s is damage", async (_, change) => {
  const cluster = new TestCluster();
  let isChanged = false;
  const service = tampering(cluster.cluster.connect(), { head: (head) => (isChanged ? { ...head, ...change } : head) });
  const { log, damages } = await open(cluster, await cluster.engine().prepare(), { service });
  await log.append([record("a")]);
  await log.append([record("b")]);
  await log.tail();
  isChanged = true;
  await untilTime(cluster, 1000);
  expect(damages.map((error) => error.code)).toEqual(["LOG_CORRUPT"]);
});

test("a reader of old positions finds them with few reads, whatever is remembered", async () => {
  const cluster = new TestCluster();
  const parameters = await cluster.engine().prepare();
  const { log: writer } = await open(cluster, parameters);
  for (let i = 1; i <= 200; i++) await writer.append(Array.from({ length: 1 + (i % 3) }, () => record(`${i}`)));
  const { tail } = await writer.tail();
  const counted = counting(cluster.cluster.connect());
  const fresh = await cluster.engine({ service: counted.service }).open(parameters);
  for (const from of [1, 57, 200, tail - 1]) {
    const before = counted.reads;
    const got = await new Promise<LogDelivery>((resolve) => {
      const subscription = fresh.read(lsn(from), (delivery) => {
        subscription.close();
        resolve(delivery);
      });
    });
    expect(got).toMatchObject({ type: "records", first: from });
    expect(counted.reads - before).toBeLessThan(14);
  }
});

test("only whole batches are trimmed", async () => {
  const cluster = new TestCluster();
  const { log } = await open(cluster, await cluster.engine().prepare());
  await log.append([record("a"), record("b")]);
  await log.append([record("c"), record("d")]);
  await log.trim(lsn(1));
  expect(logOf(cluster).head()).toMatchObject({ firstBatch: 1, trimmedUpTo: 0 });
  await log.trim(lsn(3));
  expect(logOf(cluster).head()).toMatchObject({ firstBatch: 2, trimmedUpTo: 2 });
  await log.trim(lsn(4));
  expect(logOf(cluster).head()).toMatchObject({ firstBatch: 3, trimmedUpTo: 4 });
});

test("callers of tail that wait share one look at the head; those who call later need another", async () => {
  const cluster = new TestCluster({ faults: { delayMsMax: 3 } });
  const counted = counting(cluster.cluster.connect());
  const { log } = await open(cluster, await cluster.engine().prepare(), {
    service: counted.service,
    settings: { pollMs: 1_000_000 },
  });
  await untilTime(cluster, 100);
  const before = counted.heads;
  await Promise.all(Array.from({ length: 50 }, () => log.tail()));
  expect(counted.heads - before).toBeLessThanOrEqual(2);
  await log.tail();
  expect(counted.heads - before).toBeLessThanOrEqual(3);
  expect(counted.heads - before).toBeGreaterThanOrEqual(2);
});

test("nodes that append at the same time get on all of them, without asking for ever", async () => {
  const cluster = new TestCluster({ faults: { delayMsMax: 4 } });
  const parameters = await cluster.engine().prepare();
  const counts = [0, 0, 0];
  const services = counts.map(() => counting(cluster.cluster.connect()));
  const nodes = await Promise.all(services.map(({ service }) => open(cluster, parameters, { service })));
  const untilMs = cluster.clock.monotonicMs() + 4000;
  await Promise.all(
    nodes.map(async ({ log }, node) => {
      while (cluster.clock.monotonicMs() < untilMs) {
        await log.append([record(`${node}`)]);
        counts[node] = (counts[node] ?? 0) + 1;
      }
    }),
  );
  const all = counts.reduce((sum, count) => sum + count, 0);
  for (const count of counts) expect(count).toBeGreaterThan(all / 6);
  for (const { appends } of services) expect(appends).toBeLessThan(all * 2);
});

test("a node that appends alone neither reads what it wrote nor yields to anybody", async () => {
  // Hints overtake answers.
  const cluster = new TestCluster({ faults: { delayMsMax: 10 } });
  const counted = counting(cluster.cluster.connect());
  const { log } = await open(cluster, await cluster.engine().prepare(), { service: counted.service });
  const [sinceMs, reads] = [cluster.clock.monotonicMs(), counted.reads];
  for (let i = 0; i < 100; i++) await log.append([record(`${i}`)]);
  expect(counted.appends).toBe(100);
  // There and back are 10 ms in the mean.
  expect(cluster.clock.monotonicMs() - sinceMs).toBeLessThan(1300);
  expect(counted.reads - reads).toBeLessThan(10);
});

test("a node that does nothing asks a few times in a second; one whose log is sealed and read, not at all", async () => {
  const cluster = new TestCluster();
  const counted = counting(cluster.cluster.connect());
  const { log } = await open(cluster, await cluster.engine().prepare(), { service: counted.service });
  const before = counted.heads;
  await untilTime(cluster, 10_000);
  expect(counted.heads - before).toBeLessThanOrEqual(51);
  await log.seal();
  await untilTime(cluster, 1000);
  const sealed = counted.heads + counted.reads;
  await untilTime(cluster, 10_000);
  expect(await log.tail()).toEqual({ tail: 1, sealed: true });
  expect(counted.heads + counted.reads).toBe(sealed);
});

/** The service, with what it shows changed on the way. */
function tampering(
  service: ExternalService,
  change: {
    readonly head?: (head: LogHead) => LogHead;
    readonly read?: (from: number, batches: readonly Uint8Array[]) => readonly Uint8Array[];
  },
): ExternalService {
  return Object.assign(Object.create(service) as ExternalService, {
    openLog: async (name: string) => {
      const log = await service.openLog(name);
      return Object.assign(Object.create(log) as ExternalLog, {
        head: async () => (change.head ?? ((head) => head))(await log.head()),
        read: async (from: number, bytesMax: number) =>
          (change.read ?? ((_, batches) => batches))(from, await log.read(from, bytesMax)),
        append: (...call: Parameters<typeof log.append>) => log.append(...call),
        seal: () => log.seal(),
        trim: (...call: Parameters<typeof log.trim>) => log.trim(...call),
        watch: (onHint: Parameters<typeof log.watch>[0]) => log.watch(onHint),
      });
    },
  });
}

interface Counted {
  heads: number;
  reads: number;
  appends: number;
  readonly service: ExternalService;
}

/** The service, with its calls counted. */
function counting(service: ExternalService): Counted {
  const counted: Counted = {
    ...{ heads: 0, reads: 0, appends: 0 },
    service: Object.assign(Object.create(service) as ExternalService, {
      openLog: async (name: string) => {
        const log = await service.openLog(name);
        return {
          head: () => (counted.heads++, log.head()),
          append: (...call: Parameters<typeof log.append>) => (counted.appends++, log.append(...call)),
          read: (...call: Parameters<typeof log.read>) => (counted.reads++, log.read(...call)),
          seal: () => log.seal(),
          trim: (...call: Parameters<typeof log.trim>) => log.trim(...call),
          watch: (onHint: Parameters<typeof log.watch>[0]) => log.watch(onHint),
        };
      },
    }),
  };
  return counted;
}
