/** State snapshots: their bytes, and their way from one node to another over links that lose, repeat and reorder. */
import type { MemberId } from "@quipu/consensus";
import { lsn, QuipuError, SeededRandom } from "@quipu/core";
import { CounterMachine } from "@quipu/counters";
import type { PeerMessage, SnapshotRequest } from "@quipu/protocol";
import { SimulatedKeyValueStore } from "@quipu/simulator";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  Checkpointer,
  defaultSnapshotSettings,
  type FetchedSnapshot,
  loadMachine,
  loadSnapshot,
  type OfferedSnapshot,
  SnapshotBuilder,
  type SnapshotBytes,
  SnapshotFetcher,
  SnapshotReader,
  type SnapshotSettings,
  SnapshotSource,
  type StoredState,
} from "../src/mod.ts";
import { applyBusy, text } from "./busy-machine.ts";
import { ManualClock } from "./manual-clock.ts";
import { ScriptedLog } from "./scripted-log.ts";

const newStore = (): SimulatedKeyValueStore =>
  new SimulatedKeyValueStore({
    random: new SeededRandom(1),
    complete: (action) => queueMicrotask(action),
    pageEntries: 5,
  });

/** A machine with its own store and checkpoints. */
class Place {
  readonly clock = new ManualClock();
  readonly store = newStore();
  readonly machine: CounterMachine;
  readonly checkpointer: Checkpointer;

  constructor(machine: CounterMachine = new CounterMachine()) {
    this.machine = machine;
    this.checkpointer = new Checkpointer({
      store: this.store,
      machine,
      log: new ScriptedLog(),
      clock: this.clock,
      onFatal: (error) => {
        throw error;
      },
    });
  }

  /** Time passes: what was loaded is hashed in slices. */
  async open(): Promise<StoredState> {
    let isOpen = false;
    const opened = this.checkpointer.openState().finally(() => (isOpen = true));
    for (; !isOpen; this.clock.advance(5)) await this.clock.settle();
    return await opened;
  }

  async snapshot(): Promise<SnapshotBytes> {
    const { position, stateHash, pages } = await this.open();
    const builder = new SnapshotBuilder(position, stateHash, 1_000_000);
    for await (const page of pages) for (const [key, value] of page) builder.add(key, value);
    return builder.finish();
  }
}

function busyPlace(records: number): Place {
  const place = new Place();
  applyBusy(place.machine, 1, records);
  return place;
}

const whole = (bytes: SnapshotBytes): Uint8Array => bytes.read(0, bytes.totalBytes);

describe("bytes of a snapshot", () => {
  test("equal states at equal positions give equal bytes, however they came to be", async () => {
    const atOnce = new Place();
    applyBusy(atOnce.machine, 1, 60);
    const inSteps = new Place();
    applyBusy(inSteps.machine, 1, 20);
    await inSteps.checkpointer.checkpoint();
    applyBusy(inSteps.machine, 21, 40);
    const loaded = new CounterMachine({ seed: 77 });
    await inSteps.checkpointer.checkpoint();
    await loadMachine(inSteps.store, loaded);
    const reloaded = new Place(loaded);
    for await (const page of inSteps.store.entries(new Uint8Array(0), Uint8Array.of(0xff))) {
      const batch = reloaded.store.batch();
      for (const [key, value] of page) batch.put(key, value);
      await batch.write({ sync: true });
    }
    applyBusy(loaded, 41, 60);
    const [one, two] = [await atOnce.snapshot(), await reloaded.snapshot()];
    expect(one.checksum).toBe(two.checksum);
    expect(whole(one)).toEqual(whole(two));
  });

  test("they are the machine's own entries, in the machine's order", async () => {
    const place = busyPlace(40);
    const reader = new SnapshotReader(whole(await place.snapshot()));
    expect(reader.position).toBe(40);
    for (const { key, value } of place.machine.snapshot()) {
      const entry = reader.next();
      expect(entry?.key).toEqual(key);
      expect(entry?.value).toEqual(value);
    }
    expect(reader.next()).toBeUndefined();
  });

  test("sessions, idempotency keys, expiry, writers and log time are carried: what follows has the same effect", async () => {
    const place = busyPlace(50);
    const bytes = whole(await place.snapshot());
    const copy = new CounterMachine({ seed: 5 });
    const fetched = { position: lsn(50), bytes, logStart: text("x") };
    const loading = loadSnapshot(fetched, copy, { clock: place.clock, settings: { entriesPerSlice: 3 } });
    await place.clock.settle();
    await loading;
    expect(copy.stateHash()).toBe(place.machine.stateHash());
    expect(copy.statistics).toEqual(place.machine.statistics);
    expect(copy.statistics.sessions).toBeGreaterThan(0);
    expect(copy.statistics.idempotencyEntries).toBeGreaterThan(0);
    expect(copy.statistics.keysWithExpiry).toBeGreaterThan(0);
    for (const machine of [copy, place.machine]) applyBusy(machine, 51, 300);
    expect(copy.stateHash()).toBe(place.machine.stateHash());
    expect(copy.nextDueMs).toBe(place.machine.nextDueMs);
  });

  test("the machine may change while a snapshot of it is read", async () => {
    const place = busyPlace(30);
    const { position, stateHash, pages } = await place.open();
    applyBusy(place.machine, 31, 90);
    await place.checkpointer.checkpoint();
    const builder = new SnapshotBuilder(position, stateHash, 1_000_000);
    for await (const page of pages) for (const [key, value] of page) builder.add(key, value);
    expect(whole(builder.finish())).toEqual(whole(await busyPlace(30).snapshot()));
  });

  test("one that grows past its limit is refused", async () => {
    const builder = new SnapshotBuilder(lsn(1), "0123456789abcdef", 100);
    expect(() => builder.add(text("key"), new Uint8Array(200))).toThrow(QuipuError);
  });

  test("damaged bytes are refused, and nothing else is thrown", async () => {
    const place = busyPlace(20);
    const bytes = whole(await place.snapshot());
    const damage = fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean());
    await fc.assert(
      fc.asyncProperty(damage, async ([at, flip, isCut]) => {
        const damaged = isCut ? bytes.slice(0, at) : bytes.slice();
        if (!isCut) damaged[at] = (damaged[at] as number) ^ flip;
        const clock = { endOfTurn: (callback: () => void): void => queueMicrotask(callback) };
        const fetched: FetchedSnapshot = { position: lsn(20), bytes: damaged, logStart: text("x") };
        const settings = { entriesPerSlice: 1_000 };
        const machine = new CounterMachine();
        try {
          await loadSnapshot(fetched, machine, { clock, settings });
        } catch (error) {
          expect(error).toMatchObject({ code: "STORE_CORRUPT" });
          return;
        }
        // A number of statistics only: the checksum of the whole is there for it.
        expect(machine.stateHash()).toBe(place.machine.stateHash());
      }),
      { seed: 4, numRuns: 400 },
    );
  });
});

const member = (number: number): MemberId => number as MemberId;

/** Snapshots without a machine behind them: any bytes will do on the way. */
function offered(position: number, bytes: number, seed: number): OfferedSnapshot {
  const builder = new SnapshotBuilder(lsn(position), "0123456789abcdef", 10_000_000);
  const random = new SeededRandom(seed);
  for (let left = bytes; left > 0; left -= 100) {
    builder.add(
      text(`${left}`),
      Uint8Array.from({ length: 80 }, () => random.below(256)),
    );
  }
  return { bytes: builder.finish(), logStart: text(`start ${position}`) };
}

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
          const wire = new Wire([2], { windowChunks, peerPatienceMs: 60_000 });
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

const anyRequest = {
  type: "snapshotRequest",
  shard: 0,
  transfer: 5,
  atLeast: 1,
  position: 0,
  totalBytes: 0,
  checksum: 0,
  offset: 0,
} as const;

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
