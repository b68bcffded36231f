/**
 * Three servers, of which one after another is killed or stands still, and comes back, while three clients write: what was
 * acknowledged is there exactly once, what was refused is not, and nobody waits for ever.
 */
import { lsn } from "@quipu/core";
import type { Appended, ExternalLog, Loglet } from "@quipu/log";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startZooKeeper, type ZooKeeperEnsemble, zooKeeperMissing } from "../src/testing/mod.ts";
import { bytes, closeServices, engineOf, newPrefix, openService, text } from "./harness.ts";

const missing = zooKeeperMissing();
const sessionTimeoutMs = 1_500;

/** What became of each append, by its text. */
interface Outcomes {
  readonly acknowledged: Map<string, number>;
  readonly refused: Set<string>;
  readonly unknown: Set<string>;
}

const noOutcomes = (): Outcomes => ({ acknowledged: new Map(), refused: new Set(), unknown: new Set() });

/** Resolves when `count` more appends were acknowledged than now. */
async function untilMore(outcomes: Outcomes, count: number): Promise<void> {
  const wanted = outcomes.acknowledged.size + count;
  await expect.poll(() => outcomes.acknowledged.size, { timeout: 60_000, interval: 20 }).toBeGreaterThanOrEqual(wanted);
}

/** `found` is everything in the log, by position. */
function expectTruth({ acknowledged, refused, unknown }: Outcomes, found: ReadonlyMap<number, string>): void {
  const positions = new Map([...found].map(([position, batch]) => [batch, position]));
  expect(positions.size, "something is there twice").toBe(found.size);
  for (const [batch, position] of acknowledged) expect(positions.get(batch), batch).toBe(position);
  for (const batch of refused) expect(positions.has(batch), `${batch} was refused`).toBe(false);
  for (const batch of positions.keys()) expect(acknowledged.has(batch) || unknown.has(batch), batch).toBe(true);
}

describe.skipIf(missing !== undefined)(`zookeeper, three servers${missing === undefined ? "" : `: ${missing}`}`, () => {
  let ensemble: ZooKeeperEnsemble;
  beforeAll(async () => {
    ensemble = await startZooKeeper(3);
  }, 120_000);
  afterEach(closeServices);
  afterAll(() => ensemble.stop());

  /** The leader, then another: each is killed and started again, then one stands still and goes on. */
  async function disturb(outcomes: Outcomes): Promise<void> {
    await untilMore(outcomes, 20);
    for (const which of ["leader", "other"] as const) {
      const leader = await ensemble.leader();
      const victim = which === "leader" ? leader : (leader + 1) % 3;
      await ensemble.kill(victim);
      await untilMore(outcomes, 20);
      await ensemble.restart(victim);
      await untilMore(outcomes, 20);
    }
    const leader = await ensemble.leader();
    ensemble.pause(leader);
    await untilMore(outcomes, 20);
    ensemble.resume(leader);
    await untilMore(outcomes, 20);
  }

  test("through the port: every outcome is what the log says afterwards", { timeout: 180_000 }, async () => {
    const prefix = newPrefix();
    const services = Array.from({ length: 3 }, () =>
      openService({ endpoints: ensemble.endpoints, prefix, sessionTimeoutMs, patienceMs: 3_000 }),
    );
    await services[0]?.createLog("a");
    const logs = await Promise.all(services.map((service) => service.openLog("a")));
    const outcomes = noOutcomes();
    let isOver = false;

    /** Without the driver: each batch is tried once. */
    const write = async (log: ExternalLog, writer: number): Promise<void> => {
      for (let i = 0; !isOver; i++) {
        const batch = `${writer}:${i}`;
        try {
          const head = await log.head();
          const next = await log.append(head, bytes(batch), lsn(head.tail + 1));
          if (next === undefined) outcomes.refused.add(batch);
          else outcomes.acknowledged.set(batch, head.tail);
        } catch (error) {
          const { outcome, code } = error as { readonly outcome?: string; readonly code?: string };
          expect(["NOQUORUM", "LOG_APPEND_UNKNOWN"]).toContain(code);
          (outcome === "unknown" ? outcomes.unknown : outcomes.refused).add(batch);
        }
      }
    };
    const writing = Promise.all(logs.map(write));
    await Promise.race([disturb(outcomes), writing]).finally(() => (isOver = true));
    await writing;

    const last = openService({ endpoints: ensemble.endpoints, prefix });
    const log = await last.openLog("a");
    const { nextBatch, tail } = await log.head();
    const found = new Map<number, string>();
    while (found.size < nextBatch - 1) {
      for (const batch of await log.read(found.size + 1, 10_000)) found.set(found.size + 1, text(batch));
    }
    expect(found.size).toBe(tail - 1); // One position for each batch here.
    expectTruth(outcomes, found);
  });

  test(
    "through loglets: acknowledged records are at their positions once, for every reader",
    { timeout: 180_000 },
    async () => {
      const prefix = newPrefix();
      const engines = Array.from({ length: 3 }, () =>
        engineOf(openService({ endpoints: ensemble.endpoints, prefix, sessionTimeoutMs })),
      );
      const parameters = (await engines[0]?.prepare()) ?? "";
      const loglets = await Promise.all(engines.map((engine) => engine.open(parameters)));
      const outcomes = noOutcomes();
      const readers = loglets.map((loglet) => follow(loglet));
      let isOver = false;

      const write = async (loglet: Loglet, writer: number): Promise<void> => {
        for (let i = 0; !isOver; i++) {
          const records = [`${writer}:${i}a`, `${writer}:${i}b`];
          try {
            const appended: Appended = await loglet.append(records.map(bytes));
            records.forEach((record, place) => outcomes.acknowledged.set(record, appended.first + place));
          } catch (error) {
            const isUnknown = (error as { readonly outcome?: string }).outcome === "unknown";
            for (const record of records) (isUnknown ? outcomes.unknown : outcomes.refused).add(record);
          }
        }
      };
      const writing = Promise.all(loglets.map(write));
      await Promise.race([disturb(outcomes), writing]).finally(() => (isOver = true));
      await writing;

      const { tail } = await (loglets[0] as Loglet).tail();
      readers.push(follow(await (engines[1] as (typeof engines)[0]).open(parameters)));
      for (const found of readers) {
        await expect.poll(() => found.size, { timeout: 30_000, interval: 20 }).toBe(tail - 1);
        expectTruth(outcomes, found);
      }
      await Promise.all(loglets.map((loglet) => loglet.close()));
    },
  );

  test(
    "without a majority it is NOQUORUM or unknown, in time, and goes on when there is one again",
    { timeout: 180_000 },
    async () => {
      const prefix = newPrefix();
      const service = openService({ endpoints: ensemble.endpoints, prefix, sessionTimeoutMs, patienceMs: 2_000 });
      await service.createLog("a");
      const log = await service.openLog("a");
      const before = await log.append(await log.head(), bytes("x"), lsn(2));
      await Promise.all([ensemble.kill(0), ensemble.kill(1)]);
      const failed = await log
        .append(before ?? (await log.head()), bytes("y"), lsn(3))
        .catch((error: unknown) => error);
      expect(["NOQUORUM", "LOG_APPEND_UNKNOWN"]).toContain((failed as { readonly code?: string }).code);
      const endpoint = expect.stringContaining(ensemble.endpoints[2] as string);
      await expect(log.head()).rejects.toMatchObject({ code: "NOQUORUM", outcome: "definite", message: endpoint });
      await expect(service.registers.get("r")).rejects.toMatchObject({ code: "NOQUORUM", message: endpoint });
      await Promise.all([ensemble.restart(0), ensemble.restart(1)]);
      await expect.poll(() => log.head().catch(() => undefined), { timeout: 60_000 }).toBeDefined();
      const head = await log.head();
      expect((await log.read(1, 100)).map(text)).toEqual(head.nextBatch === 2 ? ["x"] : ["x", "y"]);
      expect(await log.append(head, bytes("z"), lsn(head.tail + 1))).toBeDefined();
    },
  );

  test(
    "a leader that stood still while another was elected shows no old head and no old register",
    { timeout: 180_000 },
    async () => {
      const prefix = newPrefix();
      for (let round = 0; round < 2; round++) {
        const leader = await untilLeader(ensemble);
        const others = ensemble.endpoints.filter((_, server) => server !== leader);
        // Keeps its connection while the leader stands still.
        const patient = { sessionTimeoutMs: 10_000, patienceMs: 20_000 };
        const old = openService({ endpoints: [ensemble.endpoints[leader] as string], prefix, ...patient });
        const service = openService({ endpoints: others, prefix, sessionTimeoutMs, patienceMs: 20_000 });
        await service.createLog(`log-${round}`);
        const log = await service.openLog(`log-${round}`);
        const oldLog = await old.openLog(`log-${round}`);
        const at = await oldLog.head();
        expect(await old.registers.compareAndSet(`register-${round}`, 0, bytes("old"))).toBe(true);

        ensemble.pause(leader);
        let head = await log.append(at, bytes("new"), lsn(2)).catch(() => undefined);
        head ??= await log.head();
        if (head.nextBatch === 1) head = await log.append(head, bytes("new"), lsn(2));
        expect(head).toMatchObject({ nextBatch: 2 });
        await service.registers.compareAndSet(`register-${round}`, 1, bytes("new"));
        // These lie in front of it when it goes on. Its own `sync` would be answered then, before it has heard the news.
        const seen = Promise.all([oldLog.head(), old.registers.get(`register-${round}`)]);
        ensemble.resume(leader);
        expect(await seen).toEqual([head, { version: 2, value: bytes("new") }]);
        await closeServices();
      }
    },
  );
});

/** Everything that `loglet` delivers from its start on, by position. */
function follow(loglet: Loglet): Map<number, string> {
  const found = new Map<number, string>();
  loglet.read(lsn(1), (delivery) => {
    expect(delivery.type).toBe("records");
    if (delivery.type !== "records") return;
    for (const [place, record] of delivery.records.entries()) {
      expect(delivery.first + place).toBe(found.size + 1);
      found.set(found.size + 1, text(record));
    }
  });
  return found;
}

/** The server that leads, once there is one. */
async function untilLeader(ensemble: ZooKeeperEnsemble): Promise<number> {
  await expect.poll(() => ensemble.leader(), { timeout: 60_000, interval: 50 }).toBeGreaterThanOrEqual(0);
  return ensemble.leader();
}
