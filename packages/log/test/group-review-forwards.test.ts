/** Forwards that are very late: of an earlier life, or of a stream that its sender has given up. */
import type { MemberId } from "@quipu/consensus";
import { QuipuError } from "@quipu/core";
import type { GroupEngine, PeerMessage } from "@quipu/protocol";
import { describe, expect, test } from "vitest";
import { bothEngines, bytesOf, Reading, TestCell } from "./group-harness.ts";

async function openCell(
  engine: GroupEngine,
  seed: number,
): Promise<{ cell: TestCell; leader: MemberId; follower: MemberId }> {
  const cell = await TestCell.open({ engine, seed });
  const leader = await cell.untilLeader();
  return { cell, leader, follower: cell.follower() };
}

const code = (append: Promise<unknown>): Promise<string> =>
  append.then(
    () => "ok",
    (error: unknown) => (error instanceof QuipuError ? error.code : String(error)),
  );

describe.each(bothEngines)("%s:", (engine) => {
  test("a forward of an earlier life does not stand in the way of this one's", async () => {
    const { cell, leader, follower } = await openCell(engine, 1);
    const { log, hub } = cell.node(follower);
    expect(await cell.until(code(log.append([bytesOf("a")])))).toBe("ok");
    const { group } = cell.group(leader);
    const { term } = cell.group(leader).inspect();
    const records = [bytesOf("late")];
    hub.send(leader, { type: "forward", group, term, stream: 77, sequence: 1, operation: { kind: "append", records } });
    await cell.forMs(20);
    expect(await cell.until(code(log.append([bytesOf("b")])), 1000)).toBe("ok");
  });

  test("what a sender has given up is not proposed behind what it sent since", async () => {
    const { cell, leader, follower } = await openCell(engine, 2);
    const { log, hub } = cell.node(follower);
    const kept: PeerMessage[] = [];
    const send = hub.send.bind(hub);
    hub.send = (to, message) => (message.type === "forward" ? void kept.push(message) : send(to, message));
    expect(await cell.until(code(log.append([bytesOf("a")])))).toBe("LOG_APPEND_UNKNOWN");
    hub.send = send;
    expect(await cell.until(code(log.append([bytesOf("b")])))).toBe("ok");
    for (const message of kept) hub.send(leader, message);
    await cell.forMs(20);
    expect(await cell.until(code(log.append([bytesOf("c")])), 1000)).toBe("ok");
    const reading = new Reading(log);
    await cell.forMs(20);
    expect(reading.all).toEqual(["b", "c"]);
  });

  test("what is not answered goes out again at a bounded pace, and no more is under way than the leader may have to keep", async () => {
    const settings = { forwardRetryBytesMax: 64 * 1024, forwardEarlyBytesMax: 1024 * 1024 };
    const cell = await TestCell.open({ engine, seed: 3, settings, core: { messageBytesMax: 64 * 1024 } });
    await cell.untilLeader();
    const { log, hub } = cell.node(cell.follower());
    await cell.until(log.append([bytesOf("a")]));
    let bytes = 0;
    const send = hub.send.bind(hub);
    hub.send = (to, message) => {
      if (message.type !== "forward" || message.operation.kind === "seal") send(to, message);
      else for (const record of message.operation.records) bytes += record.length;
    };
    const appends = Array.from({ length: 60 }, () => code(log.append([new Uint8Array(60_000)])));
    expect(bytes).toBeLessThanOrEqual(1024 * 1024 + 60_000);
    bytes = 0;
    await cell.forMs(2000);
    expect(bytes).toBeGreaterThan(20 * 60_000);
    expect(bytes).toBeLessThanOrEqual(41 * 64 * 1024);
    hub.send = send;
    expect(new Set(await cell.until(Promise.all(appends), 5000))).toEqual(new Set(["ok"]));
  });
});
