/**
 * Mistakes that other implementations made, one test each, named by the case (research list P1, P16, as far as they concern
 * the state machine). P3–P11 are in the consensus package, P2 and P12–P15 in log, and whole nodes in cluster.
 */
import { describe, expect, test } from "vitest";
import { CounterMachine, type MachineOptions } from "../src/machine.ts";
import type { Operation } from "../src/operations.ts";
import { Bench, bytes, type Plain } from "./bench.ts";
import { type Entry, restoreFrom } from "./model/memory-store.ts";

const add = (delta = 1): Operation => ({ type: "add", database: 0, key: bytes("k"), delta });

/** Takes a machine's place and goes on where it was. */
function goingOn(machine: CounterMachine, from: Bench): Bench {
  const bench = Object.assign(new Bench(), { lsn: from.lsn, number: from.number, timeMs: from.timeMs });
  return Object.assign(bench, { machine });
}

const textOf = (key: Uint8Array): string => String.fromCharCode(...key);
/** Position, log time and record ids: what says how far the rest has come. */
const saysHowFar = ({ key }: Entry): boolean => key[0] === "m".charCodeAt(0) || key[0] === "w".charCodeAt(0);

/** What a store would hold that got position and state of two moments in two batches, and not both of them. */
function torn(position: readonly Entry[], state: readonly Entry[]): Entry[] {
  const entries = [...position.filter(saysHowFar), ...state.filter((entry) => !saysHowFar(entry))];
  return entries.sort((left, right) => (textOf(left.key) < textOf(right.key) ? -1 : 1));
}

describe("P1 etcd 13766: the applied index was durable without the state, or the state without the index", () => {
  /** A machine before and after a record, and that record. */
  function twoMoments(): {
    earlier: Entry[];
    later: Entry[];
    record: Uint8Array;
    position: CounterMachine["appliedLsn"];
    hash: string;
  } {
    const bench = new Bench();
    for (let i = 0; i < 5; i++) bench.run(add(i));
    const earlier = [...bench.machine.snapshot()];
    bench.builder.command(add(10));
    const record = bench.finish();
    bench.lsn++;
    const position = bench.lsn as CounterMachine["appliedLsn"];
    expect(bench.machine.apply(position, record)).toBe("apply");
    return { earlier, later: [...bench.machine.snapshot()], record, position, hash: bench.machine.stateHash() };
  }

  test("one batch has both: replayed from either moment, the state at the position is the same", () => {
    const { earlier, later, record, position, hash } = twoMoments();
    const behind = restoreFrom(earlier);
    expect(behind.apply(position, record)).toBe("apply");
    for (const machine of [behind, restoreFrom(later)]) {
      expect(machine.appliedLsn).toBe(position);
      expect(machine.stateHash()).toBe(hash);
    }
  });

  test("a state that is ahead of its position counts twice, one behind it loses; the hash at the position tells", () => {
    const { earlier, later, record, position, hash } = twoMoments();
    const ahead = restoreFrom(torn(earlier, later));
    expect(ahead.apply(position, record)).toBe("apply");
    const behind = restoreFrom(torn(later, earlier));
    const get = (machine: CounterMachine): unknown => machine.read({ type: "get", database: 0, key: bytes("k") });
    expect(get(ahead)).not.toEqual(get(restoreFrom(later)));
    expect(get(behind)).not.toEqual(get(restoreFrom(later)));
    for (const machine of [ahead, behind]) {
      expect(machine.appliedLsn).toBe(position);
      expect(machine.stateHash()).not.toBe(hash);
    }
  });

  test("every checkpoint names its position, also one in which no key has changed", () => {
    const bench = new Bench();
    for (let round = 0; round < 4; round++) {
      if (round % 2 === 0) bench.run(add());
      else bench.tick(5);
      const frozen = bench.machine.freezeChanges();
      const entries: Entry[] = [];
      while (frozen.next(1, { put: (key, value) => entries.push({ key, value }), delete: () => undefined }));
      frozen.release();
      expect(frozen.position).toBe(bench.lsn);
      expect(entries.filter(saysHowFar).length).toBeGreaterThan(1);
      expect(entries.length - entries.filter(saysHowFar).length).toBe(round % 2 === 0 ? 1 : 0);
    }
  });
});

const bornMs = 1_000;
const lifetimeMs = 9_000;

const batchOf = (bench: Bench, number: number, session = "s", expiresAtMs = bornMs + lifetimeMs): Plain =>
  bench.run({ type: "session", session: bytes(session), expiresAtMs, number, lowestOpen: 1, operations: [add()] });

describe("P16 tigerbeetle on_client_eviction, dragonboat LRU: a session that is gone must not be taken for a new one", () => {
  /** The machine itself, one started from its store, one from a snapshot: what a node may have lived through. */
  function lives(bench: Bench): readonly Bench[] {
    const entries = [...bench.machine.snapshot()];
    return [goingOn(restoreFrom(entries), bench), goingOn(restoreFrom(entries, "snapshot"), bench), bench];
  }

  test("once expired it is refused for ever, whatever number it sends, before and after a snapshot", () => {
    const bench = new Bench();
    expect(batchOf(bench, 1)).toEqual(["1-1", "0", ["1"]]);
    expect(batchOf(bench, 2)).toEqual(["2-1", "0", ["2"]]);
    bench.tick(lifetimeMs);
    expect(bench.machine.statistics.sessions).toBe(0);
    for (const life of lives(bench)) {
      for (const laterMs of [0, 1, lifetimeMs, 1_000 * lifetimeMs]) {
        life.tick(laterMs);
        for (const number of [1, 2, 3]) expect(batchOf(life, number)).toBe("SESSION_EXPIRED");
      }
      expect(life.get("k")).toBe("2");
      expect(life.machine.statistics.sessions).toBe(0);
    }
  });

  test("a snapshot taken before it expired carries it: a retry is answered again, and refused once its time is over", () => {
    const bench = new Bench();
    expect(batchOf(bench, 1)).toEqual(["1-1", "0", ["1"]]);
    for (const life of lives(bench)) {
      expect(batchOf(life, 1)).toEqual(["1-1", "1", ["1"]]);
      life.tick(lifetimeMs);
      expect(batchOf(life, 1)).toBe("SESSION_EXPIRED");
      expect(life.get("k")).toBe("1");
    }
  });

  test("none is evicted for another: where there is no room it is the newcomer that is refused", () => {
    const options: MachineOptions = { sessionsMax: 3 };
    const bench = new Bench(options);
    for (const session of ["a", "b", "c"]) batchOf(bench, 1, session);
    for (let i = 0; i < 5; i++) expect(batchOf(bench, 1, `newcomer ${i}`)).toBe("OVERLOADED");
    for (const session of ["a", "b", "c"]) expect(batchOf(bench, 1, session)).toMatchObject({ 1: "1" });
    expect(bench.get("k")).toBe("3");
  });

  test("an expired one stays refused, though the clock of whoever stamps records has gone back", () => {
    const bench = new Bench();
    batchOf(bench, 1);
    bench.tick(lifetimeMs);
    for (const life of lives(bench)) {
      life.timeMs = bornMs;
      expect(batchOf(life, 1)).toBe("SESSION_EXPIRED");
      expect(life.get("k")).toBe("1");
    }
  });

  test("registered anew in silence, a retry would be applied twice", () => {
    const bench = new Bench({ mutation: "expired-session-reregistered" });
    batchOf(bench, 1);
    bench.tick(lifetimeMs);
    batchOf(bench, 1);
    expect(bench.get("k")).toBe("2");
  });

  test("left out of a snapshot, a retry would be applied twice", () => {
    const bench = new Bench({ mutation: "snapshot-without-sessions" });
    batchOf(bench, 1);
    const copy = goingOn(restoreFrom([...bench.machine.snapshot()]), bench);
    batchOf(copy, 1);
    expect(copy.get("k")).toBe("2");
  });
});
