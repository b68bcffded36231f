/** Who writes to a log that a service keeps: the leader for all; and what the others hear of it. */
import { memberId, type MemberId } from "@quipu/consensus";
import { lsn, SeededRandom } from "@quipu/core";
import { type Loglet, memoryEngine, type PeerHub } from "@quipu/log";
import type { PeerMessage } from "@quipu/protocol";
import { beforeEach, describe, expect, test } from "vitest";
import { OneWriter } from "../src/cell/one-writer.ts";
import { ManualClock } from "./manual-clock.ts";

type Handler = (from: MemberId, message: PeerMessage) => void;

/** Two nodes that hear each other at once, unless a message is lost. */
class World {
  readonly clock = new ManualClock();
  readonly sent: string[] = [];
  leader: MemberId | undefined = memberId(1);
  passes: (message: PeerMessage) => boolean = () => true;
  readonly #engine = memoryEngine();
  readonly #handlers: Map<string, Handler> = new Map();
  readonly #parameters = this.#engine.prepare();

  /** The log of one node; `appends` counts what that node itself has written. */
  async open(member: number): Promise<{ readonly log: Loglet; readonly appends: () => number; inner: Loglet }> {
    const writer = new OneWriter({
      hub: this.#hub(memberId(member)),
      clock: this.clock,
      random: new SeededRandom(member),
      leader: () => this.leader,
    });
    const parameters = await this.#parameters;
    const inner = await this.#engine.open(parameters);
    let appends = 0;
    const append = inner.append.bind(inner);
    inner.append = (records) => {
      appends += 1;
      return append(records);
    };
    const log = await writer.over({ ...this.#engine, open: () => Promise.resolve(inner) }).open(parameters);
    if (log === undefined) throw new Error("the log did not open");
    return { log, inner, appends: () => appends };
  }

  #hub(member: MemberId): PeerHub {
    return {
      member,
      peers: () => [memberId(1), memberId(2)].filter((other) => other !== member),
      send: (to, message) => {
        this.sent.push(`${member} to ${to}: ${message.type}`);
        if (this.passes(message)) queueMicrotask(() => this.#handlers.get(`${to} ${message.type}`)?.(member, message));
      },
      handle: (type, handler) => void this.#handlers.set(`${member} ${type}`, handler as Handler),
      statistics: () => ({ damaged: 0, otherCell: 0, otherAddressee: 0, otherSender: 0, unhandled: 0 }),
    };
  }
}

const record = Uint8Array.of(1);

describe("one writer", () => {
  let world: World;
  let one: Awaited<ReturnType<World["open"]>>;
  let two: Awaited<ReturnType<World["open"]>>;
  beforeEach(async () => {
    world = new World();
    one = await world.open(1);
    two = await world.open(2);
  });

  test("the leader writes what another node appends, which gets the positions", async () => {
    expect(await one.log.append([record])).toEqual({ first: 1, last: 1 });
    expect(await two.log.append([record, record])).toEqual({ first: 2, last: 3 });
    expect([one.appends(), two.appends()]).toEqual([2, 0]);
    expect(world.sent).toEqual(["2 to 1: serviceAppend", "1 to 2: serviceAppendReply"]);
  });

  test("without a leader, and where the leader does not believe that it leads, a node writes by itself", async () => {
    world.leader = undefined;
    expect(await two.log.append([record])).toEqual({ first: lsn(1), last: lsn(1) });
    expect(world.sent).toEqual([]);
    world.leader = memberId(1);
    world.passes = (message) => {
      if (message.type === "serviceAppend") world.leader = memberId(2);
      return true;
    };
    expect(await two.log.append([record])).toEqual({ first: lsn(2), last: lsn(2) });
    expect([one.appends(), two.appends()]).toEqual([0, 2]);
  });

  test("what the leader finds sealed is sealed for whoever asked; it is not tried again", async () => {
    await one.inner.seal();
    await expect(two.log.append([record])).rejects.toMatchObject({ code: "LOG_SEALED", outcome: "definite" });
    expect([one.appends(), two.appends()]).toEqual([1, 0]);
  });

  test.each(["serviceAppend", "serviceAppendReply"] as const)("a lost %s leaves the append in doubt", async (lost) => {
    world.passes = ({ type }) => type !== lost;
    const appended = two.log.append([record]);
    const heard = expect(appended).rejects.toMatchObject({ code: "LOG_APPEND_UNKNOWN", outcome: "unknown" });
    await world.clock.settle();
    world.clock.advance(3_000);
    await heard;
    expect(one.appends()).toBe(lost === "serviceAppend" ? 0 : 1);
  });

  test("a log that is closed leaves nobody waiting", async () => {
    world.passes = () => false;
    const appended = two.log.append([record]);
    await two.log.close();
    await expect(appended).rejects.toMatchObject({ code: "SHUTTING_DOWN", outcome: "unknown" });
  });
});
