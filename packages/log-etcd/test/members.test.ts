/** Three real members, one of them killed again and again, or standing still: nothing acknowledged is lost or there twice. */
import { lsn, QuipuError } from "@quipu/core";
import type { Loglet } from "@quipu/log";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EtcdMembers, hasEtcd, startEtcdMembers } from "../src/testing/mod.ts";
import { makeNode, pause, record, textOf } from "./harness.ts";

describe.skipIf(!hasEtcd())("three etcd members", () => {
  let members: EtcdMembers;
  beforeAll(async () => {
    members = await startEtcdMembers({
      count: 3,
      arguments: ["--heartbeat-interval=50", "--election-timeout=500"],
    });
  });
  afterAll(() => members.stop());

  test.each(["killed", "paused"] as const)(
    "nodes append, read and ask for the tail while members are %s",
    async (how) => {
      const { endpoints } = members;
      const prefix = `/${how}/`;
      const timing = { requestTimeoutMs: 1500, connectTimeoutMs: 300 };
      const nodes = endpoints.map((_, place) =>
        // Each begins with another member.
        makeNode({ endpoints: [...endpoints.slice(place), ...endpoints.slice(0, place)], prefix, ...timing }),
      );
      const parameters = await nodes[0]?.engine.prepare();
      const workload = new Workload();
      const logs = await Promise.all(nodes.map(({ engine }) => engine.open(parameters ?? "")));
      const running = logs.map((log, node) => workload.run(log, node));
      for (let round = 0; round < 3; round++) {
        await pause(300);
        await (how === "killed" ? members.kill(round) : members.pause(round));
        await pause(800);
        await (how === "killed" ? members.restart(round) : members.resume(round));
      }
      await workload.untilMore(20);
      workload.stop();
      await Promise.all(running);

      const { tail } = await (logs[0] as Loglet).tail();
      const contents = await Promise.all(logs.map((log) => readAll(log, tail)));
      for (const texts of contents) expect(texts).toEqual(contents[0]);
      const texts = contents[0] ?? [];
      expect(new Set(texts).size).toBe(texts.length);
      for (const [text, position] of workload.acknowledged) expect(texts[position - 1], text).toBe(text);
      for (const text of workload.refused) expect(texts).not.toContain(text);
      expect(workload.acknowledged.size).toBeGreaterThan(20);
      for (const log of logs) await log.close();
      for (const { service } of nodes) await service.close();
    },
  );

  test("hints come from the next member when the one in use stands still", async () => {
    const [still = "", other = ""] = members.endpoints;
    const options = { prefix: "/hints/", requestTimeoutMs: 500, connectTimeoutMs: 200 };
    const reader = makeNode({ ...options, endpoints: [still, other] });
    const writer = makeNode({ ...options, endpoints: [other] });
    await writer.service.createLog("a");
    const writing = await writer.service.openLog("a");
    const reading = await reader.service.openLog("a");
    let hintedTo = 0;
    let hints = 0;
    const watch = reading.watch((nextBatch) => {
      hints += 1;
      hintedTo = Math.max(hintedTo, nextBatch ?? 0);
    });
    while (hints === 0) await pause(5);
    members.pause(0);
    try {
      // The writer's member may have to find another leader first; the reader leaves the member that is still.
      const at = await untilAnswered(() => writing.head());
      await untilAnswered(() => reading.head());
      const before = hints;
      while (hints === before) await pause(5);
      await untilAnswered(() => writing.append(at, record("a batch"), lsn(2)));
      while (hintedTo < 2) await pause(5);
    } finally {
      members.resume(0);
    }
    watch.close();
    await reader.service.close();
    await writer.service.close();
  });

  test("without a majority nothing succeeds and every error says so; with it back, everything goes on by itself", async () => {
    const timing = { requestTimeoutMs: 700, connectTimeoutMs: 300, prefix: "/majority/" };
    const { service, engine } = makeNode({ endpoints: members.endpoints, ...timing });
    const log = await engine.open(await engine.prepare());
    await log.append([record("before")]);
    await Promise.all([members.kill(0), members.kill(1)]);
    const append = log.append([record("meanwhile")]).catch((error: unknown) => error);
    await expect(service.registers.get("chain")).rejects.toMatchObject({
      code: "NOQUORUM",
      outcome: "definite",
      message: expect.stringMatching(/^etcd http:\/\/127\.0\.0\.1:\d+: /),
    });
    await Promise.all([members.restart(0), members.restart(1)]);
    // It waited.
    expect(await append).toEqual({ first: 2, last: 2 });
    expect(await log.append([record("after")])).toEqual({ first: 3, last: 3 });
    await log.close();
    await service.close();
  });
});

/** Tries until the service answers at all. */
async function untilAnswered<Result>(action: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await action();
    } catch {
      await pause(50);
    }
  }
}

/** Appends of several nodes, each record another text; and tails that must cover what was acknowledged before. */
class Workload {
  readonly acknowledged: Map<string, number> = new Map();
  readonly refused: string[] = [];
  #isOver = false;
  #acknowledgedTo = 0;

  async run(log: Loglet, node: number): Promise<void> {
    const reader = { last: 0 };
    log.read(lsn(1), (delivery) => {
      if (delivery.type === "gap") throw new Error("a gap");
      expect(delivery.first).toBe(reader.last + 1);
      reader.last += delivery.records.length;
    });
    for (let call = 1; !this.#isOver; call++) {
      const before = this.#acknowledgedTo;
      const append = this.#append(log, `node ${node}, ${call}`, reader);
      const tail = await log.tail();
      expect(tail.tail).toBeGreaterThan(before);
      await append;
      await pause(5);
    }
  }

  stop(): void {
    this.#isOver = true;
  }

  async untilMore(count: number): Promise<void> {
    const wanted = this.acknowledged.size + count;
    while (this.acknowledged.size < wanted) await pause(10);
  }

  async #append(log: Loglet, text: string, reader: { readonly last: number }): Promise<void> {
    try {
      const { first } = await log.append([record(text)]);
      expect(reader.last).toBeGreaterThanOrEqual(first);
      this.acknowledged.set(text, first);
      this.#acknowledgedTo = Math.max(this.#acknowledgedTo, first);
    } catch (error) {
      if (!(error instanceof QuipuError)) throw error;
      if (error.outcome === "definite") this.refused.push(text);
    }
  }
}

function readAll(log: Loglet, tail: number): Promise<readonly string[]> {
  const texts: string[] = [];
  return new Promise((resolve) => {
    const subscription = log.read(lsn(1), (delivery) => {
      if (delivery.type === "records") for (const bytes of delivery.records) texts.push(textOf(bytes));
      if (texts.length < tail - 1) return;
      subscription.close();
      resolve(texts.slice(0, tail - 1));
    });
  });
}
