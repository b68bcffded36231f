/** State snapshots as bytes: what they carry, and that equal states give equal ones. */
import { lsn, QuipuError, SeededRandom } from "@quipu/core";
import { CounterMachine } from "@quipu/counters";
import { SimulatedKeyValueStore } from "@quipu/simulator";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  Checkpointer,
  type FetchedSnapshot,
  loadMachine,
  loadSnapshot,
  SnapshotBuilder,
  type SnapshotBytes,
  SnapshotReader,
  type StoredState,
} from "../src/mod.ts";
import { applyBusy, text } from "./busy-machine.ts";
import { ManualClock } from "./manual-clock.ts";
import { ScriptedLog } from "./scripted-log.ts";
import { whole } from "./snapshot-wire.ts";

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
