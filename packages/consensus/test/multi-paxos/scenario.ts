/**
 * Scenarios of Multi-Paxos: text files of commands, each block with the trace that it must leave, as in
 * raft/scenario.ts. Nothing happens by itself: ticks, disks and the network move when told. `quiet` before a command
 * leaves messages and persists out of its trace; what elections say to each other is always left out. Every scenario runs
 * under the invariants as well.
 */
import { defaultMultiPaxosSettings, logIndex, type MemberId, memberId, MultiPaxos } from "@quipu/consensus";
import { invariant } from "@quipu/core";
import { Arguments } from "../arguments.ts";
import { foundingState } from "../cell.ts";
import { stubRandom } from "../raft/cores.ts";
import { type CellEvent, type Flight, PaxosCell, type PaxosInput, writtenSlots } from "./cell.ts";
import {
  describeBallot,
  describeEffect,
  describeEntry,
  describeFlight,
  describeMessage,
  describeView,
} from "./describe.ts";
import { PaxosInvariants } from "./invariants.ts";

const ticksMax = 1000;
/** More than two rounds of an election, and than the patience with a silent leader. */
const silenceTicks = 12;

export class PaxosScenario {
  readonly #invariants = new PaxosInvariants();
  #settings = defaultMultiPaxosSettings;
  readonly #cell: PaxosCell;
  #lines: string[] = [];
  #quiet = false;
  #requests = 0;

  constructor() {
    this.#cell = new PaxosCell({
      create: (member, restored) =>
        new MultiPaxos({ member, random: stubRandom(0), settings: this.#settings, restored }),
      watch: (event) => {
        this.#trace(event);
        this.#invariants.watch(event);
      },
      write: writtenSlots,
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
    command(new Arguments(rest, ["to", "with"]));
    return this.#lines;
  }

  readonly commands: Readonly<Record<string, (given: Arguments) => void>> = {
    /** `members 1 2 3 messageEntriesMax=1`: founds the cell. */
    members: (given) => {
      const numbers = [...given.options].map(([name, value]) => [name, Number(value)]);
      this.#settings = { ...this.#settings, ...Object.fromEntries(numbers) };
      for (const member of given.members()) this.#cell.add(member, foundingState(given.members()));
    },
    /** `campaign 1 with 2`: both hear nobody for a while, then 1 loses patience first, and leads. */
    campaign: (given) => {
      const all = [given.member, ...given.members("with")];
      for (let tick = 0; tick < silenceTicks; tick++) {
        for (const member of all) this.#step(member, { type: "tick" });
        this.#dropElections();
      }
      for (let tick = 0; tick < ticksMax; tick++) {
        this.#step(given.member, { type: "tick" });
        this.#cell.stabilize(all);
        if (this.#cell.core(given.member).inspect().role === "leader") break;
      }
      this.#dropElections();
    },
    /** `stand 1 with 2`: the same, but what it asks and promises itself stays where it is. */
    stand: (given) => {
      const all = [given.member, ...given.members("with")];
      for (let tick = 0; tick < silenceTicks; tick++) {
        for (const member of all) this.#step(member, { type: "tick" });
        this.#dropElections();
      }
      for (let tick = 0; tick < ticksMax; tick++) {
        this.#step(given.member, { type: "tick" });
        if (this.#cell.core(given.member).inspect().role === "candidate") break;
        for (const flight of this.#cell.network.filter(isElection)) this.#cell.deliver(flight);
        for (const flight of this.#cell.network.filter(isElection)) this.#cell.deliver(flight);
      }
      this.#dropElections();
    },
    /** `tick 1 times=3`. */
    tick: (given) => {
      for (let tick = 0; tick < given.number("times", 1); tick++) this.#step(given.member, { type: "tick" });
      this.#dropElections();
    },
    /** `round times=3`: time for all that are named or up, everything delivered. */
    round: (given) => {
      for (let round = 0; round < given.number("times", 1); round++) {
        for (const member of this.#named(given)) this.#step(member, { type: "tick" });
        this.#cell.stabilize(this.#named(given));
      }
    },
    /** `propose 1 a b`: one proposal. */
    propose: (given) => {
      const records = given.words.slice(1).map((word) => new TextEncoder().encode(word));
      this.#step(given.member, { type: "propose", request: ++this.#requests, records });
    },
    seal: ({ member }) => this.#step(member, { type: "seal", request: ++this.#requests }),
    read: ({ member }) => this.#step(member, { type: "readBarrier", request: ++this.#requests }),
    transfer: (given) =>
      this.#step(given.member, { type: "transferLeadership", to: given.members("to")[0] as MemberId }),
    /** `disk 1 count=1`: the first pending persist, or all of them, becomes durable; the core hears of it. */
    disk: (given) => this.#cell.persist(given.member, given.number("count", Infinity)),
    /** `deliver from=1 to=2 type=accept first=1`: in order; `reverse=yes`: last first. */
    deliver: (given) => this.#select(given).forEach((flight) => this.#cell.deliver(flight)),
    duplicate: (given) => this.#select(given).forEach((flight) => this.#cell.deliver(flight, true)),
    drop: (given) => {
      for (const flight of this.#select(given)) {
        this.#say(`dropped ${describeFlight(flight)}`, "detail");
        this.#cell.drop(flight);
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
    trim: (given) => this.#step(given.member, { type: "trim", upTo: logIndex(given.number("upTo", 0)) }),
    /** `install 3 from=1 index=5`: a state snapshot of index 5, fetched from 1, is durable on 3. */
    install: (given) => {
      const start = this.#cell.core(memberId(given.number("from", 0))).startAt(logIndex(given.number("index", 0)));
      invariant(start !== undefined, "the source knows no such start");
      this.#step(given.member, { type: "installed", start });
    },
    /** All disks and messages, or those among some members, until nothing is left to do. */
    stabilize: (given) => this.#cell.stabilize(this.#named(given)),
    status: (given) =>
      this.#named(given).forEach((member) => this.#say(describeView(this.#cell.core(member).inspect()))),
    /** What stands in the slots, in memory. */
    slots: (given) => this.#named(given).forEach((member) => this.#slots(member)),
    /** What is on disk. */
    stored: (given) => {
      for (const member of this.#named(given)) {
        const { hardState, start, entries } = this.#cell.seat(member).disk;
        const accepted = hardState.accepted?.ballot;
        const has = entries.map(describeEntry).join(", ");
        const inBallot = accepted === undefined ? "" : ` accepts in b${describeBallot(accepted)}`;
        this.#say(`${member} promise b${describeBallot(hardState.term)}${inBallot} after ${start.index}: ${has}`);
      }
    },
  };

  #step(member: MemberId, input: PaxosInput): void {
    this.#cell.step(member, input);
  }

  #dropElections(): void {
    for (const flight of this.#cell.network.filter(isElection)) this.#cell.drop(flight);
  }

  /** Those named, else all that are up. */
  #named(given: Arguments): readonly MemberId[] {
    if (given.words.length > 0) return given.members();
    return this.#cell.seats.filter(({ core }) => core !== undefined).map(({ member }) => member);
  }

  #select(given: Arguments): readonly Flight[] {
    const [from, to, type] = [given.option("from"), given.option("to"), given.option("type")];
    const matching = this.#cell.network.filter(
      (flight) =>
        !isElection(flight) &&
        (from === undefined || flight.from === Number(from)) &&
        (to === undefined || flight.to === Number(to)) &&
        (type === undefined || describeMessage(flight.message).startsWith(`${type} `)),
    );
    const first = matching.slice(0, given.number("first", matching.length));
    const last = first.slice(-given.number("last", first.length));
    return given.option("reverse") === undefined ? last : last.toReversed();
  }

  #slots(member: MemberId): void {
    const core = this.#cell.core(member);
    const { start, last } = core.inspect();
    const entries: string[] = [];
    for (let index = start.index + 1; index <= last; index++) {
      const entry = core.entry(logIndex(index));
      entries.push(entry === undefined ? `${index} empty` : describeEntry(entry));
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
          if (!kind.startsWith("election"))
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
        if (!isElection(event.flight)) {
          this.#say(`  ${event.lost ? "lost " : ""}${describeFlight(event.flight)}`, "detail");
        }
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

function isElection({ message }: Flight): boolean {
  return message.type === "electionRequest" || message.type === "electionReply";
}
