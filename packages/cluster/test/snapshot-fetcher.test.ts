/** State snapshots on their way from one node to another, over links that lose, repeat, reorder and delay. */
import { QuipuError, SeededRandom } from "@quipu/core";
import type { PeerMessage, SnapshotRequest } from "@quipu/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  defaultSnapshotSettings,
  type FetchedSnapshot,
  type OfferedSnapshot,
  SnapshotFetcher,
  type SnapshotSettings,
  SnapshotSource,
} from "../src/mod.ts";
import { text } from "./busy-machine.ts";
import { ManualClock } from "./manual-clock.ts";
import { anyRequest, member, offered, whole } from "./snapshot-wire.ts";

/** A member that fetches and some that serve, and what lies between them. */
class Wire {
  readonly clock = new ManualClock();
  readonly settings: SnapshotSettings;
  readonly fetcher: SnapshotFetcher;
  readonly sources: Map<number, SnapshotSource> = new Map();
  readonly offers: Map<number, OfferedSnapshot | undefined> = new Map();
  /** Requests seen, by whom they were for. */
  readonly requests: { readonly to: number; readonly request: SnapshotRequest }[] = [];
  /** How many times, and after which delays, a message arrives. */
  fate: (from: number, to: number, message: PeerMessage) => readonly number[] = () => [1];
  makes = 0;

  constructor(sources: readonly number[], settings: Partial<SnapshotSettings> = {}) {
    this.settings = { ...defaultSnapshotSettings, chunkBytes: 256, windowChunks: 4, ...settings };
    const common = { shard: 0, clock: this.clock, settings: this.settings };
    this.fetcher = new SnapshotFetcher({
      ...common,
      random: new SeededRandom(3),
      link: {
        member: member(1),
        peers: () => [...this.sources.keys()].map(member),
        send: (to, message) => this.#carry(1, to, message),
      },
    });
    for (const source of sources) {
      this.sources.set(source, this.#source(source));
    }
  }

  #source(source: number): SnapshotSource {
    return new SnapshotSource({
      shard: 0,
      clock: this.clock,
      settings: this.settings,
      link: { send: (to, message) => this.#carry(source, to, message) },
      make: () => {
        this.makes += 1;
        return Promise.resolve(this.offers.get(source));
      },
      isUseful: () => true,
    });
  }

  #carry(from: number, to: number, message: PeerMessage): void {
    for (const delayMs of this.fate(from, to, message)) {
      this.clock.setTimer(delayMs, () => this.#arrive(from, to, message));
    }
  }

  #arrive(from: number, to: number, message: PeerMessage): void {
    if (message.type === "snapshotRequest") {
      this.requests.push({ to, request: message });
      this.sources.get(to)?.onRequest(member(from), message);
    } else if (message.type === "snapshotChunk") this.fetcher.onChunk(member(from), message);
    else if (message.type === "snapshotRefused") this.fetcher.onRefused(member(from), message);
  }

  async run(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += 5) {
      this.clock.advance(5);
      for (let step = 0; step < 4; step++) await Promise.resolve();
    }
  }

  /** Fetches, for at most a virtual hour. */
  async fetch(source: number, atLeast = 1): Promise<FetchedSnapshot> {
    let fetched: FetchedSnapshot | undefined;
    void this.fetcher.fetch(member(source), atLeast).then((snapshot) => (fetched = snapshot));
    for (let passedMs = 0; fetched === undefined && passedMs < 3_600_000; passedMs += 50) await this.run(50);
    if (fetched === undefined) throw new Error("not fetched within an hour");
    return fetched;
  }
}

describe("from one node to another", () => {
  test("whatever the link loses, repeats and reorders, the bytes come as they are", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          seed: fc.nat(),
          bytes: fc.nat(6_000),
          lossPercent: fc.nat(60),
          repeatPercent: fc.nat(50),
          delayMsMax: fc.nat(400),
          windowChunks: fc.integer({ min: 1, max: 9 }),
        }),
        async ({ seed, bytes, lossPercent, repeatPercent, delayMsMax, windowChunks }) => {
          const wire = new Wire([2], { windowChunks, peerPatienceMs: 60_000, idleMs: 10_000_000 });
          const random = new SeededRandom(seed);
          const offer = offered(9, bytes, seed);
          wire.offers.set(2, offer);
          wire.fate = () => {
            const delays = random.chance(lossPercent, 100) ? [] : [1 + random.below(delayMsMax + 1)];
            return random.chance(repeatPercent, 100) ? [...delays, 1 + random.below(2_000)] : delays;
          };
          const fetched = await wire.fetch(2);
          expect(fetched.position).toBe(9);
          expect(fetched.logStart).toEqual(text("start 9"));
          expect(fetched.bytes).toEqual(whole(offer.bytes));
          expect(wire.makes).toBe(1);
        },
      ),
      { seed: 11, numRuns: 60 },
    );
  });

  test("never more chunks are under way than the window", async () => {
    const wire = new Wire([2], { windowChunks: 3, chunkTimeoutMs: 1_000_000, peerPatienceMs: 10_000_000 });
    wire.offers.set(2, offered(9, 20_000, 1));
    let underWay = 0;
    let underWayMax = 0;
    wire.fate = (_, __, message) => {
      underWay += message.type === "snapshotRequest" ? 1 : -1;
      underWayMax = Math.max(underWayMax, underWay);
      return [3];
    };
    await wire.fetch(2);
    expect(underWayMax).toBe(3);
  });

  test("goes on with another node that has the very same, without a byte twice", async () => {
    const wire = new Wire([2, 3]);
    for (const source of [2, 3]) wire.offers.set(source, offered(9, 5_000, 1));
    // The other one has it ready: somebody else asked before.
    wire.sources.get(3)?.onRequest(member(4), { ...anyRequest, transfer: 1 });
    let chunks = 0;
    wire.fate = (from, to, message) =>
      to === 4 || (from === 2 && message.type === "snapshotChunk" && ++chunks > 8) ? [] : [1];
    const fetched = await wire.fetch(2);
    expect(fetched.bytes).toEqual(whole((wire.offers.get(3) as OfferedSnapshot).bytes));
    const offsets = wire.requests.filter(({ to }) => to === 3).map(({ request }) => request.offset);
    expect(Math.min(...offsets)).toBe(8 * 256);
    expect(wire.fetcher.statistics.peersLeft).toBe(1);
  });

  test("begins anew where nobody else has it", async () => {
    const wire = new Wire([2, 3]);
    wire.offers.set(2, offered(9, 5_000, 1));
    wire.offers.set(3, offered(12, 4_000, 2));
    let chunks = 0;
    wire.fate = (from, _, message) => (from === 2 && message.type === "snapshotChunk" && ++chunks > 5 ? [] : [1]);
    const fetched = await wire.fetch(2);
    expect(fetched.position).toBe(12);
    expect(fetched.logStart).toEqual(text("start 12"));
  });

  test("a snapshot older than asked for is not taken; a node that has none is left", async () => {
    const wire = new Wire([2, 3, 4]);
    wire.offers.set(2, offered(9, 500, 1));
    wire.offers.set(4, offered(21, 500, 1));
    const fetched = await wire.fetch(2, 20);
    expect(fetched.position).toBe(21);
  });

  test("one whose checksum does not match is thrown away whole, and fetched from another node", async () => {
    const wire = new Wire([2, 3]);
    for (const source of [2, 3]) wire.offers.set(source, offered(9, 3_000, 1));
    const genuine = wire.fate;
    wire.fate = (from, to, message) => {
      if (from === 2 && message.type === "snapshotChunk" && message.offset === 512) {
        message.data[7] = (message.data[7] as number) ^ 1;
      }
      return genuine(from, to, message);
    };
    const fetched = await wire.fetch(2);
    expect(fetched.bytes).toEqual(whole((wire.offers.get(3) as OfferedSnapshot).bytes));
    expect(wire.fetcher.statistics.damaged).toBe(1);
  });

  test("hostile chunks allocate nothing and change nothing", async () => {
    const wire = new Wire([2], { snapshotBytesMax: 100_000 });
    const offer = offered(9, 5_000, 1);
    wire.offers.set(2, offer);
    const hostile = (chunk: Partial<Extract<PeerMessage, { readonly type: "snapshotChunk" }>>): void => {
      const { transfer } = wire.requests.at(-1)?.request ?? { transfer: 0 };
      const genuine = { type: "snapshotChunk", shard: 0, transfer, position: 9, totalBytes: 6_000 } as const;
      const rest = { checksum: 5, logStart: text("no"), offset: 0, data: new Uint8Array(200) };
      wire.fetcher.onChunk(member(2), { ...genuine, ...rest, ...chunk });
    };
    wire.fate = (from, _, message) => {
      if (from === 2 && message.type === "snapshotChunk") {
        hostile({ offset: 13 });
        hostile({ totalBytes: 2 ** 40 });
        hostile({ totalBytes: 100_000, data: new Uint8Array(0) });
        hostile({ position: 0 });
        hostile({ transfer: 1 });
        hostile({ shard: 3 });
        hostile({ checksum: 6, offset: 256, data: new Uint8Array(256) });
      }
      return [1];
    };
    const fetched = await wire.fetch(2);
    expect(fetched.bytes).toEqual(whole(offer.bytes));
    expect(wire.fetcher.statistics.strayChunks).toBeGreaterThan(0);
  });

  test("a link on which an answer takes longer than we wait for it is slow, and no more", async () => {
    const wire = new Wire([2, 3], { chunkTimeoutMs: 100, peerPatienceMs: 500 });
    wire.offers.set(2, offered(9, 3_000, 1));
    wire.offers.set(3, undefined);
    wire.fate = () => [1_000];
    const fetched = await wire.fetch(2);
    expect(fetched.bytes).toEqual(whole((wire.offers.get(2) as OfferedSnapshot).bytes));
  });

  test("can be cancelled, and begun again", async () => {
    const wire = new Wire([2]);
    wire.offers.set(2, offered(9, 5_000, 1));
    wire.fate = () => [];
    const first = expect(wire.fetcher.fetch(member(2), 1)).rejects.toMatchObject({ code: "SHUTTING_DOWN" });
    await wire.run(3_000);
    wire.fetcher.cancel(new QuipuError("SHUTTING_DOWN", "enough"));
    await first;
    wire.fate = () => [1];
    expect((await wire.fetch(2)).position).toBe(9);
  });
});
