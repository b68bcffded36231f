/** A cell of Multi-Paxos cores, and the disk that such a core writes to: slots, some of them empty. */
import {
  defaultMultiPaxosSettings,
  type Effect,
  type Entry,
  type Input,
  type MemberId,
  memberId,
  MultiPaxos,
  type MultiPaxosMutation,
  type MultiPaxosSettings,
  type PaxosMessage,
} from "@quipu/consensus";
import { invariant, SeededRandom } from "@quipu/core";
import {
  type CellEventOf,
  CellOf,
  type Disk,
  type FlightOf,
  foundingState,
  type PersistOf,
  type SeatOf,
} from "../cell.ts";

export type PaxosEffect = Effect<PaxosMessage>;
export type PaxosInput = Input<PaxosMessage>;
export type Persist = PersistOf<PaxosMessage>;
export type Flight = FlightOf<PaxosMessage>;
export type Seat = SeatOf<PaxosMessage>;
export type CellEvent = CellEventOf<PaxosMessage>;
export type { Disk };

export class PaxosCell extends CellOf<PaxosMessage> {
  /** Messages of this type never arrive. */
  loses: PaxosMessage["type"] | undefined;

  override send(from: MemberId, to: MemberId, message: PaxosMessage): void {
    if (message.type !== this.loses) super.send(from, to, message);
  }
}

/** Members 1 to `size`, all founders, with the defaults but for `settings`. */
export function newCell(given: {
  readonly size: number;
  readonly seed?: number;
  readonly settings?: Partial<MultiPaxosSettings>;
  readonly mutation?: MultiPaxosMutation | undefined;
  readonly watch?: (event: CellEvent) => void;
}): PaxosCell {
  const chance = new SeededRandom(given.seed ?? 1);
  const settings = { ...defaultMultiPaxosSettings, ...given.settings };
  const { mutation } = given;
  const cell = new PaxosCell({
    create: (member, restored) => {
      const random = new SeededRandom(chance.uint32());
      return new MultiPaxos({ member, random, settings, restored, ...(mutation === undefined ? {} : { mutation }) });
    },
    watch: given.watch ?? (() => {}),
    write: writtenSlots,
  });
  const members = Array.from({ length: given.size }, (_, place) => memberId(place + 1));
  for (const member of members) cell.add(member, foundingState(members));
  return cell;
}

/** What the disk holds after a persist, strictly: each entry takes the place of what stood in its slot. */
export function writtenSlots(disk: Disk, persist: Persist): Disk {
  const hardState = persist.hardState ?? disk.hardState;
  invariant(hardState.term >= disk.hardState.term, `promise on disk went back to ${hardState.term}`);
  let start = persist.restart ?? disk.start;
  let entries: readonly Entry[] = persist.restart === undefined ? disk.entries : [];
  const from = persist.truncateFrom;
  if (from !== undefined) {
    invariant(from > start.index, `truncates from ${from}, the log begins after ${start.index}`);
    entries = entries.filter(({ index }) => index < from);
  }
  if (persist.append.length > 0) {
    const slots = new Map(entries.map((entry) => [entry.index, entry]));
    for (const entry of persist.append) {
      invariant(entry.index > start.index, `writes ${entry.index}, the log begins after ${start.index}`);
      invariant(entry.term <= hardState.term, `${entry.index} is on disk before the promise of ${entry.term}`);
      slots.set(entry.index, entry);
    }
    entries = [...slots.values()].sort((a, b) => a.index - b.index);
  }
  const { trim } = persist;
  if (trim !== undefined) {
    const at = entries.find(({ index }) => index === trim.index);
    invariant(at?.term === trim.term, `trims at ${trim.index}/${trim.term}, the disk has ${at?.term}`);
    entries = entries.filter(({ index }) => index > trim.index);
    start = trim;
  }
  return { hardState, start, entries };
}

export function slotOnDisk(disk: Disk, index: number): Entry | undefined {
  return disk.entries.find((entry) => entry.index === index);
}

/** Of the highest ballot. */
export function leaderOf(cell: PaxosCell): MemberId | undefined {
  const leaders = cell.seats.flatMap(({ core }) => {
    const view = core?.inspect();
    return view?.role === "leader" ? [view] : [];
  });
  return leaders.sort((a, b) => b.term - a.term)[0]?.member;
}

/** Time for all, everything delivered. */
export function run(cell: PaxosCell, ticks: number): void {
  for (let tick = 0; tick < ticks; tick++) {
    for (const { member, core } of cell.seats) if (core !== undefined) cell.step(member, { type: "tick" });
    cell.stabilize();
  }
}

/** Makes `member` the leader of a cell that is connected. */
export function elect(cell: PaxosCell, member: number): void {
  for (let tries = 0; tries < 20; tries++) {
    run(cell, 10);
    const leader = leaderOf(cell);
    if (leader === member) return;
    if (leader !== undefined) cell.step(leader, { type: "transferLeadership", to: memberId(member) });
    cell.stabilize();
    if (leaderOf(cell) === member) return;
  }
  invariant(false, `${member} is not elected`);
}

/** Proposes records of these texts; whether they were taken. */
export function propose(cell: PaxosCell, member: MemberId, ...texts: readonly string[]): boolean {
  const records = texts.map((text) => new TextEncoder().encode(text));
  const effects = cell.step(member, { type: "propose", request: 1, records });
  return effects.some(({ type }) => type === "proposed");
}

/** The delivered records and other contents, as text. */
export function deliveredTexts(seat: Seat): string[] {
  const texts: string[] = [];
  const { start, delivered } = (seat.core as MultiPaxos).inspect();
  for (let index = start.index + 1; index <= delivered; index++) {
    const entry = seat.core?.entry(index as Entry["index"]);
    texts.push(entry?.kind === "record" ? new TextDecoder().decode(entry.data) : `<${entry?.kind}>`);
  }
  return texts;
}
