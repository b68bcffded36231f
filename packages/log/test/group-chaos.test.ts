/**
 * The promises of the loglet contract under everything at once: crashes, isolation, loss, repetition, reordering, leadership
 * handed over, trims and snapshots, appends and tails on all members. What is checked is what the contract says of one log.
 */
import type { MemberId } from "@quipu/consensus";
import { type Lsn, lsn, QuipuError, SeededRandom } from "@quipu/core";
import { describe, expect, test } from "vitest";
import type { Loglet, Subscription } from "../src/mod.ts";
import { bothEngines, bytesOf, TestCell } from "./group-harness.ts";

/** What an append came to. */
interface Ended {
  readonly caller: string;
  readonly text: string;
  readonly outcome: "ok" | "definite" | "unknown";
  readonly first: number;
}

/** A replica of sorts: reads its member's log, has a durable state of what it read, fetches another's where there is a gap. */
class Follower {
  readonly member: MemberId;
  /** By position; survives crashes, as a state store does. */
  readonly #state: Map<number, string>;
  #applied: number;
  #log: Loglet | undefined;
  #subscription: Subscription | undefined;
  needs = 0;

  constructor(member: MemberId, state: Map<number, string> = new Map()) {
    this.member = member;
    this.#state = state;
    this.#applied = Math.max(0, ...state.keys());
  }

  get applied(): number {
    return this.#applied;
  }

  get state(): ReadonlyMap<number, string> {
    return this.#state;
  }

  begin(log: Loglet): void {
    this.#subscription?.close();
    this.#log = log;
    log.replication?.onSnapshotNeeded((_source, atLeast) => {
      if (this.#log === log) this.needs = Math.max(this.needs, atLeast);
    });
    this.#read(log);
  }

  end(): void {
    this.#log = undefined;
    this.#subscription?.close();
  }

  /** From another's durable state. */
  async install(from: Follower, source: Loglet): Promise<boolean> {
    const log = this.#log;
    const start = source.replication?.startAt(lsn(from.applied));
    if (log === undefined || start === undefined || from.applied < this.needs || from.applied <= this.applied)
      return false;
    this.#subscription?.close();
    for (const [position, text] of from.state) this.#state.set(position, text);
    this.#applied = from.applied;
    this.needs = 0;
    await log.replication?.installed(start);
    if (this.#log === log) this.#read(log);
    return true;
  }

  #read(log: Loglet): void {
    this.#subscription = log.read(lsn(this.#applied + 1), (delivery) => {
      if (delivery.type === "gap") {
        if (delivery.trimmedUpTo > this.#applied) this.needs = Math.max(this.needs, delivery.trimmedUpTo);
        return;
      }
      // What comes behind a gap waits for the state that closes it.
      if (this.needs > this.#applied) return;
      delivery.records.forEach((bytes, i) => {
        const position = delivery.first + i;
        expect(position).toBeGreaterThan(this.#applied);
        const text = new TextDecoder().decode(bytes);
        this.#state.set(position, text);
        this.#applied = position;
      });
    });
  }
}

class Chaos {
  readonly #cell: TestCell;
  readonly #random: SeededRandom;
  readonly #followers: Map<MemberId, Follower> = new Map();
  readonly ended: Ended[] = [];
  /** Calls under way, with the life of the process that they were made in. */
  readonly #open: Map<Promise<void>, { readonly alive: boolean }> = new Map();
  /** Highest acknowledged position so far. */
  #acknowledged = 0;
  #lives = 0;
  #numbers = 0;
  tails = 0;
  installs = 0;

  constructor(cell: TestCell, random: SeededRandom) {
    this.#cell = cell;
    this.#random = random;
    for (const member of cell.founders) this.#began(member);
  }

  async act(): Promise<void> {
    const members = this.#cell.founders;
    const member = members[this.#random.below(members.length)] as MemberId;
    const draw = this.#random.below(100);
    const node = this.#cell.nodes.get(member);
    if (draw < 50) this.#append(member);
    else if (draw < 65) this.#tail(member);
    else if (draw < 70) await this.#checkpoint(member);
    else if (draw < 78) await this.#install(member);
    else if (draw < 80) this.#cell.isolate(member);
    else if (draw < 84) this.#cell.heal();
    else if (draw < 86 && node !== undefined) this.#cell.group(member).transferLeadership(members[0] as MemberId);
    else if (draw < 87 && node !== undefined) this.#crash(member);
    else if (draw < 91 && node === undefined) await this.#start(member);
    for (let steps = this.#random.below(30); steps > 0; steps--) await this.#cell.step();
  }

  /** Everything works again; resolves when every member has everything. */
  async heal(): Promise<void> {
    this.#cell.heal();
    this.#cell.lossPercent = 0;
    for (const member of this.#cell.founders) if (!this.#cell.nodes.has(member)) await this.#start(member);
    await this.#cell.until(() => [...this.#open.values()].every(({ alive }) => !alive));
    // A candidate of Multi-Paxos may need a snapshot before it leads.
    for (let round = 0; round < 200 && this.#cell.leader() === undefined; round++) await this.#installAll();
    // Not any member: one that lacks a snapshot knows no tail yet.
    const last = await this.#cell.until(this.#cell.node(await this.#cell.untilLeader()).log.tail());
    for (let round = 0; round < 200; round++) {
      await this.#installAll();
      if ([...this.#followers.values()].every(({ applied }) => applied >= last.tail - 1)) return;
    }
    const applied = [...this.#followers.values()].map((follower) => follower.applied);
    throw new Error(`not all got to ${last.tail - 1}: ${applied.join()}`);
  }

  /** Whoever seals: the tail is final, and the same for all. */
  async seal(): Promise<void> {
    const logs = [...this.#cell.nodes.values()].map(({ log }) => log);
    const sealed = logs[this.#random.below(logs.length)] as Loglet;
    for (const { member } of this.#cell.nodes.values()) this.#append(member);
    await this.#cell.until(sealed.seal());
    const tails = await this.#cell.until(Promise.all(logs.map((log) => log.tail())));
    for (const tail of tails) expect(tail).toEqual({ tail: tails[0]?.tail, sealed: true });
    await this.#cell.until(() => [...this.#open.values()].every(({ alive }) => !alive));
    for (const log of logs) await expect(log.append([bytesOf("x")])).rejects.toMatchObject({ code: "LOG_SEALED" });
  }

  check(): void {
    const states = [...this.#followers.values()].map(({ state }) => [...state].toSorted(([a], [b]) => a - b));
    for (const state of states) expect(state).toEqual(states[0]);
    const positions = new Map<string, number[]>();
    for (const [position, text] of states[0] ?? []) positions.set(text, [...(positions.get(text) ?? []), position]);
    for (const { text, outcome, first } of this.ended) {
      const found = positions.get(text) ?? [];
      if (outcome === "ok") expect(found, text).toEqual([first]);
      else if (outcome === "definite") expect(found, text).toEqual([]);
      else expect(found.length, text).toBeLessThanOrEqual(1);
    }
    this.#checkOrder(positions);
  }

  /** What one life of a member appended stands in the order of the calls. */
  #checkOrder(positions: ReadonlyMap<string, readonly number[]>): void {
    const last = new Map<string, number>();
    for (const { caller, text } of this.ended.toSorted((a, b) => numberOf(a.text) - numberOf(b.text))) {
      const [position] = positions.get(text) ?? [];
      if (position === undefined) continue;
      expect(position, `${text} of ${caller}`).toBeGreaterThan(last.get(caller) ?? 0);
      last.set(caller, position);
    }
  }

  #append(member: MemberId): void {
    const node = this.#cell.nodes.get(member);
    if (node === undefined) return;
    const caller = `${member}/${this.#lives}`;
    const texts = Array.from({ length: 1 + this.#random.below(2) }, () => `${++this.#numbers}`);
    const note = (outcome: Ended["outcome"], first: number): void => {
      texts.forEach((text, i) =>
        this.ended.push({ caller: node.life.alive ? caller : `dead ${text}`, text, outcome, first: first + i }),
      );
    };
    this.#watch(
      node.life,
      node.log.append(texts.map(bytesOf)).then(
        ({ first, last }) => {
          note("ok", first);
          this.#acknowledged = Math.max(this.#acknowledged, last);
        },
        (error: unknown) => {
          expect(error).toBeInstanceOf(QuipuError);
          note((error as QuipuError).outcome, 0);
        },
      ),
    );
  }

  #tail(member: MemberId): void {
    const node = this.#cell.nodes.get(member);
    if (node === undefined) return;
    const atLeast = this.#acknowledged;
    this.#watch(
      node.life,
      node.log.tail().then(
        ({ tail }) => {
          this.tails++;
          expect(tail).toBeGreaterThan(atLeast);
        },
        (error: unknown) => expect(error).toMatchObject({ outcome: "definite" }),
      ),
    );
  }

  async #checkpoint(member: MemberId): Promise<void> {
    const position = this.#followers.get(member)?.applied ?? 0;
    if (position > 0) await this.#cell.nodes.get(member)?.log.trim(lsn(position) as Lsn);
  }

  async #installAll(): Promise<void> {
    await this.#cell.forMs(200);
    for (const member of this.#cell.founders) await this.#install(member);
  }

  async #install(member: MemberId): Promise<void> {
    const follower = this.#followers.get(member);
    if (follower === undefined || follower.needs === 0 || !this.#cell.nodes.has(member)) return;
    for (const [source, { log }] of this.#cell.nodes) {
      const from = this.#followers.get(source);
      if (from === undefined || from === follower) continue;
      const installing = follower.install(from, log);
      const limit = this.#cell.forMs(2000).then(() => false);
      if (await Promise.race([this.#cell.until(installing), limit])) {
        this.installs++;
        return;
      }
    }
  }

  #crash(member: MemberId): void {
    this.#followers.get(member)?.end();
    this.#cell.crash(member);
  }

  async #start(member: MemberId): Promise<void> {
    await this.#cell.start(member);
    this.#began(member);
  }

  #began(member: MemberId): void {
    this.#lives++;
    const follower = new Follower(member, new Map(this.#followers.get(member)?.state));
    this.#followers.set(member, follower);
    follower.begin(this.#cell.node(member).log);
  }

  #watch(life: { readonly alive: boolean }, promise: Promise<void>): void {
    const watched: Promise<void> = promise.finally(() => this.#open.delete(watched));
    this.#open.set(watched, life);
  }
}

function numberOf(text: string): number {
  return Number(text);
}

const [firstSeed = 1, lastSeed = 8] = process.env["CHAOS_SEEDS"]?.split("-").map(Number) ?? [];
const seeds = Array.from({ length: lastSeed - firstSeed + 1 }, (_, i) => firstSeed + i);

describe.each(bothEngines)("%s", (engine) => {
  test.each(seeds)("seed %i", async (seed) => {
    const random = new SeededRandom(seed);
    const cell = await TestCell.open({
      seed,
      engine,
      lossPercent: random.below(10),
      repeatPercent: random.below(30),
      delayMsMax: 1 + random.below(60),
      settings: { followerPinBytesMax: random.chance(1, 2) ? 2_000 : 1_000_000, forwardWindow: 4 + random.below(60) },
    });
    const chaos = new Chaos(cell, random);
    for (let i = 0; i < 300; i++) await chaos.act();
    await chaos.heal();
    chaos.check();
    expect(chaos.ended.filter(({ outcome }) => outcome === "ok").length).toBeGreaterThan(5);
  });

  test.each(seeds)("seed %i, very late frames of streams and lives that are over", async (seed) => {
    const random = new SeededRandom(seed);
    const cell = await TestCell.open({
      seed,
      engine,
      lossPercent: random.below(5),
      repeatPercent: random.below(30),
      latePercent: 1 + random.below(20),
      delayMsMax: 1 + random.below(20),
      // Sooner than the late ones, so that senders turn to a leader again and again within its term.
      settings: { appendDeadlineTicks: 6 + random.below(20), forwardWindow: 1 + random.below(8) },
    });
    const chaos = new Chaos(cell, random);
    for (let i = 0; i < 300; i++) await chaos.act();
    await chaos.heal();
    chaos.check();
  });
});
