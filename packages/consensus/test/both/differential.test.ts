/**
 * One workload on both cores, Raft and Multi-Paxos, under the same kind of disorder: what a caller may rely on is the
 * same. A caller proposes numbered records one after another; one whose leader is lost it gives up and goes on.
 */
import {
  defaultMultiPaxosSettings,
  type Entry,
  logIndex,
  type MemberId,
  memberId,
  MultiPaxos,
  type MultiPaxosMutation,
  type RestoredState,
} from "@quipu/consensus";
import { type Random, SeededRandom } from "@quipu/core";
import { describe, expect, test } from "vitest";
import { CellOf, type CellOptions, foundingState, type SeatOf } from "../cell.ts";
import { writtenSlots } from "../multi-paxos/cell.ts";
import { newRaft, settingsOf } from "../raft/cores.ts";

const seeds = 30;
const steps = 2500;

interface Outcome {
  /** Numbers of the records, as every member delivers them. */
  readonly delivered: readonly number[];
  readonly acknowledged: readonly number[];
  readonly refused: readonly number[];
  readonly proposed: number;
}

interface Pending {
  readonly number: number;
  readonly member: MemberId;
  readonly term: number;
  readonly index: number;
}

/** A cell of either kind, a caller, and everything that can go wrong. */
class Workload<Message> {
  readonly #cell: CellOf<Message>;
  readonly #random: Random;
  readonly #acknowledged: number[] = [];
  readonly #refused: number[] = [];
  #number = 0;
  #pending: Pending | undefined;

  constructor(cell: CellOf<Message>, random: Random) {
    this.#cell = cell;
    this.#random = random;
  }

  run(): Outcome {
    for (let step = 0; step < steps; step++) {
      this.#disorder();
      this.#call();
    }
    this.#cell.heal();
    for (const seat of this.#cell.seats) if (seat.core === undefined) this.#cell.restart(seat.member);
    for (let tick = 0; tick < 120; tick++) {
      for (const { member } of this.#cell.seats) this.#cell.step(member, { type: "tick" });
      this.#cell.stabilize();
      this.#call();
    }
    this.#cell.stabilize();
    const logs = this.#cell.seats.map((seat) => numbersOf(seat));
    for (const log of logs) expect(log).toEqual(logs[0]);
    return {
      delivered: logs[0] ?? [],
      acknowledged: this.#acknowledged,
      refused: this.#refused,
      proposed: this.#number,
    };
  }

  #disorder(): void {
    const { network, seats } = this.#cell;
    const random = this.#random;
    const up = seats.filter(({ core }) => core !== undefined);
    const seat = seats[random.below(seats.length)] as SeatOf<Message>;
    const flight = network[random.below(Math.max(1, network.length))];
    const draw = random.below(200);
    if (draw < 130 && network.length > 0) {
      // Mostly the oldest, sometimes any.
      const next = draw < 100 ? network[0] : flight;
      if (next !== undefined) this.#cell.deliver(next, draw === 129);
    } else if (draw < 134 && flight !== undefined) this.#cell.drop(flight);
    else if (draw < 165) {
      if (seat.core !== undefined) this.#cell.persist(seat.member, 1 + random.below(3));
    } else if (draw < 195) {
      if (seat.core !== undefined) this.#cell.step(seat.member, { type: "tick" });
    } else if (draw === 195 && up.length > 0) {
      if (seat.core !== undefined) this.#cell.crash(seat.member, random.below(seat.pending.length + 1));
    } else if (draw < 198) {
      if (seat.core === undefined) this.#cell.restart(seat.member);
    } else if (draw === 198) {
      const other = seats[random.below(seats.length)] as SeatOf<Message>;
      this.#cell.cut(seat.member, other.member);
    } else this.#cell.heal();
  }

  /** One record at a time; the next when this one is delivered at its leader, or its leader leads no more. */
  #call(): void {
    if (this.#pending !== undefined) this.#settle(this.#pending);
    if (this.#pending !== undefined || !this.#random.chance(1, 4)) return;
    const leaders = this.#cell.seats.filter(({ core }) => core?.inspect().role === "leader");
    const leader = leaders[this.#random.below(Math.max(1, leaders.length))];
    if (leader === undefined) return;
    const number = ++this.#number;
    const records = [new TextEncoder().encode(String(number))];
    const effects = this.#cell.step(leader.member, { type: "propose", request: number, records });
    const taken = effects.find((effect) => effect.type === "proposed");
    if (taken?.type !== "proposed") this.#refused.push(number);
    else this.#pending = { number, member: leader.member, term: taken.term, index: taken.first };
  }

  #settle(pending: Pending): void {
    const { core, delivered } = this.#cell.seat(pending.member);
    const view = core?.inspect();
    const isLeading = view?.role === "leader" && view.term === pending.term;
    if (core !== undefined && isLeading && delivered >= pending.index) {
      expect(numberOf(core.entry(logIndex(pending.index)))).toBe(pending.number);
      this.#acknowledged.push(pending.number);
    } else if (isLeading) {
      return;
    }
    this.#pending = undefined;
  }
}

function numberOf(entry: Entry | undefined): number | undefined {
  return entry?.kind === "record" ? Number(new TextDecoder().decode(entry.data)) : undefined;
}

function numbersOf<Message>({ core, delivered }: SeatOf<Message>): number[] {
  const indexes = Array.from({ length: delivered }, (_, place) => logIndex(place + 1));
  return indexes.flatMap((index) => numberOf(core?.entry(index)) ?? []);
}

type Create<Message> = (
  member: MemberId,
  restored: RestoredState,
  random: Random,
) => NonNullable<SeatOf<Message>["core"]>;

function outcomeOf<Message>(seed: number, create: Create<Message>, write?: CellOptions<Message>["write"]): Outcome {
  const random = new SeededRandom(seed);
  const cell = new CellOf<Message>({
    create: (member, restored) => create(member, restored, new SeededRandom(random.uint32())),
    watch: () => {},
    ...(write === undefined ? {} : { write }),
  });
  const members = Array.from({ length: seed % 3 === 0 ? 5 : 3 }, (_, place) => memberId(place + 1));
  for (const member of members) cell.add(member, foundingState(members));
  return new Workload(cell, random).run();
}

const settings = { electionTicks: 4, heartbeatTicks: 1 };
function raft(seed: number): Outcome {
  return outcomeOf(seed, (member, restored, random) =>
    newRaft({ member, restored, random, settings: { ...settingsOf({}), ...settings } }),
  );
}

function multiPaxos(seed: number, mutation?: MultiPaxosMutation): Outcome {
  const bug = mutation === undefined ? {} : { mutation };
  return outcomeOf(
    seed,
    (member, restored, random) =>
      new MultiPaxos({ member, restored, random, settings: { ...defaultMultiPaxosSettings, ...settings }, ...bug }),
    writtenSlots,
  );
}

/** What holds whichever core it is. */
function check(seed: number, result: Outcome): void {
  const log = new Set(result.delivered);
  // Once at most, and in the order of the calls: one that was given up does not come back above a later one.
  const ascending = [...log].sort((a, b) => a - b);
  expect(result.delivered, `seed ${seed}`).toEqual(ascending);
  for (const number of result.acknowledged) expect(log, `acknowledged, seed ${seed}`).toContain(number);
  for (const number of result.refused) expect(log, `refused, seed ${seed}`).not.toContain(number);
}

describe.each([
  ["Raft", raft],
  ["Multi-Paxos", (seed: number) => multiPaxos(seed)],
] as const)("%s", (_, outcome) => {
  test(`in ${seeds} seeds of disorder keeps what a caller relies on`, () => {
    let [acknowledged, inDoubt] = [0, 0];
    for (let seed = 1; seed <= seeds; seed++) {
      const result = outcome(seed);
      check(seed, result);
      acknowledged += result.acknowledged.length;
      inDoubt += result.proposed - result.acknowledged.length - result.refused.length;
    }
    // It did something, and something was in doubt.
    expect(acknowledged).toBeGreaterThan(seeds * 20);
    expect(inDoubt).toBeGreaterThan(seeds / 4);
  });
});

test("and a core that does not keep it is seen", () => {
  const failing = (): void => {
    for (let seed = 1; seed <= seeds; seed++) check(seed, multiPaxos(seed, "own-value-although-one-was-reported"));
  };
  expect(failing).toThrow();
});
