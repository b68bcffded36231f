/** Each deliberate bug of the consensus groups shows in the smallest scenario that it breaks: none is without effect. */
import { lsn } from "@quipu/core";
import { describe, expect, test } from "vitest";
import type { GroupMutation } from "../src/mod.ts";
import { bothEngines, bytesOf, type CellOptions, Reading, TestCell } from "./group-harness.ts";

/** What the scenario shows, without and with the bug. */
async function both<Shown>(
  mutation: GroupMutation,
  scenario: (cell: TestCell) => Promise<Shown>,
  options: CellOptions = {},
): Promise<readonly [Shown, Shown]> {
  const open = async (more: CellOptions): Promise<TestCell> => {
    const cell = await TestCell.open({ seed: 1, ...options, ...more });
    await cell.untilLeader();
    return cell;
  };
  return [await scenario(await open({})), await scenario(await open({ mutation }))];
}

const ends = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "ok",
    (error: { readonly code: string }) => error.code,
  );

describe.each(bothEngines)("%s:", (engine) => {
  test("append-acknowledged-when-proposed", async () => {
    const shown = await both(
      "append-acknowledged-when-proposed",
      async (cell) => {
        const leader = await cell.untilLeader();
        cell.isolate(leader);
        return cell.until(ends(cell.node(leader).log.append([bytesOf("x")])));
      },
      { engine },
    );
    expect(shown).toEqual(["LOG_APPEND_UNKNOWN", "ok"]);
  });

  test("barrier-answer-cached", async () => {
    const shown = await both(
      "barrier-answer-cached",
      async (cell) => {
        const { member, log } = cell.node(cell.follower());
        await cell.until(log.tail());
        cell.isolate(member);
        return cell.until(ends(log.tail()));
      },
      { engine },
    );
    expect(shown).toEqual(["OVERLOADED", "ok"]);
  });

  test("trim-on-own-checkpoint-only", async () => {
    const shown = await both(
      "trim-on-own-checkpoint-only",
      async (cell) => {
        const leader = await cell.untilLeader();
        const { log } = cell.node(leader);
        const { last } = await cell.until(log.append([bytesOf("x"), bytesOf("y")]));
        await cell.forMs(300);
        await cell.until(log.trim(last));
        return cell.group(leader).inspect().start.index === Number(last);
      },
      { engine },
    );
    expect(shown).toEqual([false, true]);
  });

  test("hard-state-not-written", async () => {
    const shown = await both(
      "hard-state-not-written",
      async (cell) => {
        const member = cell.follower();
        await cell.forMs(100);
        const { term } = cell.group(member).inspect();
        cell.isolate(member);
        // Raft's core knows that entries of a term cannot be there before the term.
        return cell.restart(member).then(
          () => cell.group(member).inspect().term === term,
          (error: Error) => error.name !== "InvariantViolation",
        );
      },
      { engine },
    );
    expect(shown).toEqual([true, false]);
  });

  test("send-after-ignored", async () => {
    const shown = await both(
      "send-after-ignored",
      async (cell) => {
        const leader = await cell.untilLeader();
        // The followers' disks do not answer: nothing may be acknowledged.
        for (const node of cell.nodes.values()) if (node.member !== leader) node.wal.write = () => undefined;
        return cell.until(ends(cell.node(leader).log.append([bytesOf("x")])));
      },
      { engine },
    );
    expect(shown).toEqual(["LOG_APPEND_UNKNOWN", "ok"]);
  });

  test("forward-order-ignored", async () => {
    const scenario = async (cell: TestCell): Promise<boolean> => {
      const { log } = cell.node(cell.follower());
      const reading = new Reading(log);
      const texts = Array.from({ length: 30 }, (_, i) => `${i}`);
      await cell.until(Promise.all(texts.map((text) => ends(log.append([bytesOf(text)])))));
      return JSON.stringify(reading.all) === JSON.stringify(texts);
    };
    expect(await both("forward-order-ignored", scenario, { engine, delayMsMax: 10 })).toEqual([true, false]);
  });
});

// A core of Multi-Paxos commits nothing behind a seal, whatever it accepts there.
test("reader-passes-seal, once the core takes something behind the seal", async () => {
  const scenario = async (cell: TestCell): Promise<readonly string[]> => {
    const leader = await cell.untilLeader();
    const { log } = cell.node(leader);
    await cell.until(log.append([bytesOf("a")]));
    await cell.until(log.seal());
    // The core refuses this by itself; here it does not.
    const group = cell.group(leader) as unknown as { run(job: () => void): void; ask(...rest: unknown[]): void };
    const propose = (request: number): object => ({ type: "propose", request, records: [bytesOf("b")] });
    group.run(() => group.ask(propose, () => undefined));
    await cell.forMs(500);
    const reading = new Reading(log, lsn(1));
    await cell.forMs(100);
    return reading.all;
  };
  const shown = await both("reader-passes-seal", scenario, { coreMutation: "seal-not-final" });
  expect(shown).toEqual([["a"], ["a", "b"]]);
});
