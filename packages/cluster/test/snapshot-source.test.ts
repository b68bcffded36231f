/** Whoever serves snapshots: what it makes, keeps, refuses and forgets. */
import { describe, expect, test } from "vitest";
import { defaultSnapshotSettings, type SnapshotSettings, SnapshotSource } from "../src/mod.ts";
import { ManualClock } from "./manual-clock.ts";
import { anyRequest, member, offered } from "./snapshot-wire.ts";

describe("whoever serves", () => {
  interface Served {
    readonly source: SnapshotSource;
    readonly clock: ManualClock;
    readonly sent: string[];
    readonly made: number[];
    position: number;
  }

  function served(settings: Partial<SnapshotSettings> = {}): Served {
    const clock = new ManualClock();
    const world = { clock, sent: [] as string[], made: [] as number[], position: 10 };
    const source = new SnapshotSource({
      shard: 0,
      clock,
      settings: { ...defaultSnapshotSettings, ...settings },
      link: {
        send: (to, message) => {
          if (message.type === "snapshotChunk") world.sent.push(`${to}: ${message.position}+${message.offset}`);
          if (message.type === "snapshotRefused") world.sent.push(`${to}: ${message.reason}`);
        },
      },
      make: async (atLeast) => {
        world.made.push(atLeast);
        await Promise.resolve();
        return world.position < atLeast ? undefined : offered(world.position, 1_000, world.position);
      },
      isUseful: (position) => position >= world.position - 5,
    });
    return Object.assign(world, { source });
  }

  test("makes one snapshot for all who ask at once", async () => {
    const world = served();
    for (const from of [2, 3, 2, 4]) world.source.onRequest(member(from), anyRequest);
    await world.clock.settle();
    expect(world.made).toEqual([1]);
    expect(world.sent).toEqual(["2: 10+0", "3: 10+0", "4: 10+0"]);
  });

  test("makes another when the log has gone on from the one it has", async () => {
    const world = served();
    world.source.onRequest(member(2), anyRequest);
    await world.clock.settle();
    world.position = 14;
    world.source.onRequest(member(3), anyRequest);
    await world.clock.settle();
    world.position = 40;
    world.source.onRequest(member(4), anyRequest);
    world.source.onRequest(member(5), { ...anyRequest, atLeast: 41 });
    await world.clock.settle();
    expect(world.sent).toEqual(["2: 10+0", "3: 10+0", "4: 40+0", "5: unavailable"]);
    expect(world.made).toEqual([1, 1]);
  });

  test("serves a bounded number of members, and forgets those that ask no more", async () => {
    const world = served({ transfersMax: 2, idleMs: 1_000 });
    for (const from of [2, 3, 4]) world.source.onRequest(member(from), anyRequest);
    await world.clock.settle();
    expect(world.sent).toEqual(["4: busy", "2: 10+0", "3: 10+0"]);
    expect(world.source.statistics.keptBytes).toBeGreaterThan(0);
    world.clock.advance(2_000);
    expect(world.source.statistics.keptBytes).toBe(0);
    world.source.onRequest(member(4), anyRequest);
    await world.clock.settle();
    expect(world.sent.at(-1)).toBe("4: 10+0");
  });

  test("keeps a bounded number of snapshots: one that is being fetched stays", async () => {
    const world = served({ snapshotsMax: 2 });
    for (const [from, position] of [
      [2, 10],
      [3, 20],
      [4, 30],
    ] as const) {
      world.position = position;
      world.source.onRequest(member(from), { ...anyRequest, atLeast: position });
      await world.clock.settle();
    }
    expect(world.sent).toEqual(["2: 10+0", "3: 20+0", "4: busy"]);
    const first = offered(10, 1_000, 10).bytes;
    const { totalBytes, checksum } = first;
    world.source.onRequest(member(2), { ...anyRequest, position: 10, totalBytes, checksum, offset: 64 });
    expect(world.sent.at(-1)).toBe("2: 10+64");
    world.source.onRequest(member(2), { ...anyRequest, position: 10, totalBytes, checksum: 1, offset: 64 });
    expect(world.sent.at(-1)).toBe("2: unavailable");
  });
});
