/**
 * Scenarios: text files of commands, each block with the trace that it must leave.
 *
 *     # What this proves.
 *
 *     members 1 2 3
 *     campaign 1
 *     ----
 *     1 preCandidate t0, leader none
 *     ...
 *
 * A block is some command lines, `----`, the trace, an empty line. Nothing happens by itself: ticks, disks and the
 * network move when told. `quiet` before a command leaves messages and persists out of its trace. Every scenario runs
 * under the invariants as well. The commands stand in {@link Scenario.commands}.
 */
import { logIndex, type MemberId, memberId, term } from "@quipu/consensus";
import { invariant } from "@quipu/core";
import { Arguments } from "../arguments.ts";
import {
  Cell,
  type CellEvent,
  type Flight,
  foundingState,
  newcomerState,
  type RaftInput,
  restoredState,
} from "./cell.ts";
import { newRaft, type SettingName, settingsOf, type StubRandom, stubRandom } from "./cores.ts";
import {
  describeEffect,
  describeEntry,
  describeFlight,
  describeMessage,
  describeProgress,
  describeView,
} from "./describe.ts";
import { Invariants } from "./invariants.ts";
import { logOf } from "./lone.ts";

const keywords = ["learners", "newcomers", "voters", "to"] as const;
/** Enough for any election timeout. */
const ticksMax = 1000;

/** Members lose patience one after another, the first after 10 ticks, unless a scenario says otherwise. */
function drawOf(member: MemberId): number {
  return Math.min(9, 2 * (member - 1));
}

export class Scenario {
  readonly #invariants = new Invariants();
  readonly #randoms = new Map<MemberId, StubRandom>();
  #settings = settingsOf({});
  readonly #cell: Cell;
  #lines: string[] = [];
  #quiet = false;
  #requests = 0;

  constructor() {
    this.#cell = new Cell({
      create: (member, restored) => {
        const random = this.#randoms.get(member) ?? stubRandom(drawOf(member));
        this.#randoms.set(member, random);
        return newRaft({ member, random, settings: this.#settings, restored });
      },
      watch: (event) => {
        this.#trace(event);
        this.#invariants.watch(event);
      },
    });
  }

  /** The trace of one command line. */
  run(line: string): readonly string[] {
    this.#lines = [];
    const tokens = line.split(/\s+/);
    this.#quiet = tokens[0] === "quiet";
    const [name = "", ...rest] = this.#quiet ? tokens.slice(1) : tokens;
    const command = this.commands[name];
    invariant(command !== undefined, `no such command: ${line}`);
    command(new Arguments(rest, keywords));
    return this.#lines;
  }

  readonly commands: Readonly<Record<string, (given: Arguments) => void>> = {
    /** `members 1 2 3 learners 4 newcomers 5 electionTicks=20`: founds the cell; newcomers know nobody. */
    members: (given) => {
      this.commands["settings"]?.(given);
      const [voters, learners] = [given.members(), given.members("learners")];
      for (const member of [...voters, ...learners]) this.#cell.add(member, foundingState(voters, learners));
      for (const member of given.members("newcomers")) this.#cell.add(member, newcomerState());
    },
    /** `settings messageEntriesMax=1`: of members that start from now on. */
    settings: (given) => {
      this.#settings = settingsOf(Object.fromEntries(given.options) as Partial<Record<SettingName, string>>);
    },
    /** `member 4 log=1,1,4 term=7 voters 1 2 3 4`: one that comes with a log, given by the terms of its records. */
    member: (given) => {
      const terms = given.option("log")?.split(",").map(Number) ?? [];
      const { start } = foundingState(given.members("voters"), given.members("learners"));
      const hardState = { term: term(given.number("term", terms.at(-1) ?? 0)), vote: undefined };
      this.#cell.add(given.member, restoredState({ hardState, start, entries: logOf(terms) }));
    },
    /** `draw 1 3`: from now on chance gives member 1 threes: its election timeout is that much longer. */
    draw: (given) => {
      const random = this.#randoms.get(given.member);
      if (random !== undefined) random.value = Number(given.words[1]);
    },
    /** `tick 1 2 times=10` or `tick all`. */
    tick: (given) => {
      for (let tick = 0; tick < given.number("times", 1); tick++) {
        for (const member of this.#named(given)) this.#step(member, { type: "tick" });
      }
    },
    /** Ticks until the member stands for election. */
    campaign: ({ member }) => {
      for (let tick = 0; this.#cell.core(member).inspect().role === "follower"; tick++) {
        invariant(tick < ticksMax, `${member} does not campaign`);
        this.#step(member, { type: "tick" });
      }
    },
    propose: (given) => {
      const records = given.words.slice(1).map((word) => new TextEncoder().encode(word));
      this.#step(given.member, { type: "propose", request: ++this.#requests, records });
    },
    seal: ({ member }) => this.#step(member, { type: "seal", request: ++this.#requests }),
    read: ({ member }) => this.#step(member, { type: "readBarrier", request: ++this.#requests }),
    /** `change 1 voters 1 2 4 learners 3`. */
    change: (given) => {
      const [voters, learners] = [given.members("voters"), given.members("learners")];
      this.#step(given.member, { type: "changeMembers", request: ++this.#requests, voters, learners });
    },
    /** `transfer 1 to 2`. */
    transfer: (given) =>
      this.#step(given.member, { type: "transferLeadership", to: given.members("to")[0] as MemberId }),
    /** `unreachable 1 to 2`. */
    unreachable: (given) =>
      this.#step(given.member, { type: "peerUnreachable", member: given.members("to")[0] as MemberId }),
    /** `disk 1 count=1`: the first pending persist, or all of them, becomes durable; the core hears of it. */
    disk: (given) => this.#cell.persist(given.member, given.number("count", Infinity)),
    /** `deliver from=1 to=2 type=append first=1`: in order; `reverse=yes`: last first. */
    deliver: (given) => this.#select(given).forEach((flight) => this.#deliver(flight)),
    duplicate: (given) => this.#select(given).forEach((flight) => this.#deliver(flight, true)),
    drop: (given) => {
      for (const flight of this.#select(given)) {
        this.#say(`dropped ${describeFlight(flight)}`, "detail");
        this.#cell.drop(flight);
      }
    },
    /** `cut 1 2 to 3`: both ways; `one-way=yes`: from 1 and 2 to 3 only. */
    cut: (given) => {
      for (const from of given.members()) {
        for (const to of given.members("to")) {
          this.#cell.cut(from, to);
          if (given.option("one-way") === undefined) this.#cell.cut(to, from);
        }
      }
    },
    isolate: ({ member }) => {
      for (const other of this.#cell.seats) {
        this.#cell.cut(member, other.member);
        this.#cell.cut(other.member, member);
      }
    },
    heal: () => this.#cell.heal(),
    /** `crash 1 durable=1`: one of the pending persists reached the disk, nothing else happened. */
    crash: (given) => this.#cell.crash(given.member, given.number("durable", 0)),
    restart: ({ member }) => {
      this.#cell.restart(member);
      this.#say(describeView(this.#cell.core(member).inspect()));
    },
    /** `trim 1 upTo=5`. */
    trim: (given) => this.#step(given.member, { type: "trim", upTo: logIndex(given.number("upTo", 0)) }),
    /** `install 3 from=1 index=5`: a state snapshot of index 5, fetched from 1, is durable on 3. */
    install: (given) => {
      const start = this.#cell.core(memberId(given.number("from", 0))).startAt(logIndex(given.number("index", 0)));
      invariant(start !== undefined, "the source knows no such start");
      this.#step(given.member, { type: "installed", start });
    },
    /** All disks and messages, or those among some members, until nothing is left to do. */
    stabilize: (given) => this.#cell.stabilize(this.#named(given)),
    /** `round 1 2 times=3`: tick, then stabilize, among some or all. */
    round: (given) => {
      for (let round = 0; round < given.number("times", 1); round++) {
        for (const member of this.#named(given)) this.#step(member, { type: "tick" });
        this.#cell.stabilize(this.#named(given));
      }
    },
    status: (given) =>
      this.#named(given).forEach((member) => this.#say(describeView(this.#cell.core(member).inspect()))),
    progress: ({ member }) => describeProgress(this.#cell.core(member).inspect()).forEach((line) => this.#say(line)),
    /** The log in memory. */
    log: (given) => this.#named(given).forEach((member) => this.#log(member)),
    /** The log as it is on disk. */
    stored: (given) => {
      const all = this.#cell.seats.map(({ member }) => member);
      for (const member of given.words.length === 0 ? all : given.members()) {
        const { hardState, start, entries } = this.#cell.seat(member).disk;
        const has = entries.map(describeEntry).join(", ");
        this.#say(`${member} t${hardState.term} vote ${hardState.vote ?? "none"} after ${start.index}: ${has}`);
      }
    },
    network: () => this.#cell.network.forEach((flight) => this.#say(describeFlight(flight))),
  };

  #step(member: MemberId, input: RaftInput): void {
    this.#cell.step(member, input);
  }

  /** Those named, else all that are up. */
  #named(given: Arguments): readonly MemberId[] {
    const all = given.words.length === 0 || given.words[0] === "all";
    return all
      ? this.#cell.seats.filter(({ core }) => core !== undefined).map(({ member }) => member)
      : given.members();
  }

  #select(given: Arguments): readonly Flight[] {
    const [from, to, type] = [given.option("from"), given.option("to"), given.option("type")];
    const matching = this.#cell.network.filter(
      (flight) =>
        (from === undefined || flight.from === Number(from)) &&
        (to === undefined || flight.to === Number(to)) &&
        (type === undefined || describeMessage(flight.message).startsWith(type)),
    );
    const first = matching.slice(0, given.number("first", matching.length));
    const last = first.slice(-given.number("last", first.length));
    return given.option("reverse") === undefined ? last : last.toReversed();
  }

  #deliver(flight: Flight, keep = false): void {
    this.#cell.deliver(flight, keep);
  }

  #log(member: MemberId): void {
    const core = this.#cell.core(member);
    const { start, last } = core.inspect();
    const entries: string[] = [];
    for (let index = start.index + 1; index <= last; index++) {
      const entry = core.entry(logIndex(index));
      if (entry !== undefined) entries.push(describeEntry(entry));
    }
    this.#say(`${member} after ${start.index}: ${entries.join(", ")}`);
  }

  #say(line: string, kind: "event" | "detail" = "event"): void {
    if (kind === "event" || !this.#quiet) this.#lines.push(line);
  }

  #trace(event: CellEvent): void {
    switch (event.type) {
      case "input":
        if (event.input.type === "receive") {
          const kind = describeMessage(event.input.message).split(" ")[0] as string;
          this.#say(`${event.seat.member} gets ${kind} from ${event.input.from}`, "detail");
        }
        break;
      case "effect":
        if (event.effect.type !== "send") {
          const detail = event.effect.type === "persist" ? "detail" : "event";
          this.#say(`  ${event.seat.member} ${describeEffect(event.effect)}`, detail);
        }
        break;
      case "durable":
        this.#say(`${event.seat.member} has #${event.persist.token} on disk`, "detail");
        break;
      case "sent":
        this.#say(`  ${event.lost ? "lost " : ""}${describeFlight(event.flight)}`, "detail");
        break;
      case "started":
      case "stepped":
      case "crashed":
        break;
      default:
        event satisfies never;
    }
  }
}
