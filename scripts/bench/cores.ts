/**
 * The pure cores, without disk, sockets and threads: three members in one thread, whose messages go through one queue
 * and whose writes are durable at once. What the framework itself costs.
 */
import {
  type ConsensusCore,
  defaultMultiPaxosSettings,
  defaultRaftSettings,
  type Effect,
  type Envelope,
  type Input,
  type LogIndex,
  logIndex,
  type MemberId,
  memberId,
  MultiPaxos,
  Raft,
  type RaftMessage,
  type PaxosMessage,
  term,
} from "@quipu/consensus";
import { SeededRandom, unreachable } from "@quipu/core";
import { decodePeerFrame, encodePeerFrame, type PeerMessage } from "@quipu/protocol";

export type CoreKind = "raft" | "multi-paxos";
type CoreMessage = RaftMessage | PaxosMessage;
type Core = ConsensusCore<CoreMessage>;

export interface CoreLoad {
  readonly core: CoreKind;
  /** Proposals that wait for their commit at any time: the clients of a closed loop. */
  readonly clients: number;
  readonly entriesPerProposal: number;
  readonly recordBytes: number;
  /** Each message goes through the bytes of its frame. */
  readonly encoded: boolean;
}

/** Per second of CPU time, all threads of the process together: what others do on the machine does not count. */
export interface CoreRates {
  readonly entriesPerSecond: number;
  readonly messagesPerSecond: number;
}

interface Letter {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly message: CoreMessage | Uint8Array;
}

/** Logs are trimmed after so many entries, as after a checkpoint. */
const trimEntries = 16_384;
/** The queue is cut back when so many letters at its front are delivered. */
const deliveredLettersMax = 4_096;
const electionTicksMax = 1_000;

const members: readonly MemberId[] = [1, 2, 3].map(memberId);

class MemoryCell {
  readonly #cores: ReadonlyMap<MemberId, Core>;
  readonly #delivered = new Map<MemberId, LogIndex>(members.map((member) => [member, logIndex(0)]));
  readonly #kind: CoreKind;
  readonly #encoded: boolean;
  #queue: Letter[] = [];
  #front = 0;
  #request = 0;
  #trimmed: LogIndex = logIndex(0);
  leader: MemberId | undefined;
  messages = 0;

  constructor(kind: CoreKind, encoded: boolean) {
    this.#kind = kind;
    this.#encoded = encoded;
    this.#cores = new Map(members.map((member) => [member, startedCore(kind, member)]));
  }

  delivered(member: MemberId): LogIndex {
    return this.#delivered.get(member) ?? logIndex(0);
  }

  elect(): MemberId {
    for (let tick = 0; tick < electionTicksMax; tick++) {
      for (const member of members) this.#step(member, { type: "tick" });
      while (this.deliverNext());
      if (this.leader !== undefined) return this.leader;
    }
    throw new Error(`no leader after ${electionTicksMax} ticks`);
  }

  /** All of them are durable at the leader in one write: a group commit. */
  propose(leader: MemberId, count: number, records: readonly Uint8Array[]): void {
    let token = 0;
    for (let rest = count; rest > 0; rest--) {
      token = Math.max(token, this.#stepOnce(leader, { type: "propose", request: ++this.#request, records }));
    }
    if (token > 0) this.#step(leader, { type: "persisted", token });
  }

  /** False: nothing is on its way. */
  deliverNext(): boolean {
    const letter = this.#queue[this.#front];
    if (letter === undefined) return false;
    if (++this.#front >= deliveredLettersMax) {
      this.#queue = this.#queue.slice(this.#front);
      this.#front = 0;
    }
    this.messages++;
    this.#step(letter.to, { type: "receive", from: letter.from, message: opened(letter.message) });
    return true;
  }

  /** Forgets, everywhere, what everybody has delivered. */
  trim(): void {
    const upTo = logIndex(Math.min(...this.#delivered.values()));
    if (upTo < this.#trimmed + trimEntries) return;
    this.#trimmed = upTo;
    for (const member of members) this.#step(member, { type: "trim", upTo });
  }

  /** What the step writes is durable at once. */
  #step(member: MemberId, input: Input<CoreMessage>): void {
    const token = this.#stepOnce(member, input);
    if (token > 0) this.#step(member, { type: "persisted", token });
  }

  /** Returns the token of the step's persist, 0 if there is none. */
  #stepOnce(member: MemberId, input: Input<CoreMessage>): number {
    const core = this.#cores.get(member) as Core;
    let token = 0;
    for (const effect of core.step(input)) {
      if (effect.type === "persist") token = effect.token;
      this.#carryOut(member, effect);
    }
    return token;
  }

  #carryOut(member: MemberId, effect: Effect<CoreMessage>): void {
    switch (effect.type) {
      case "persist":
        for (const envelope of effect.sendAfter) this.#post(member, envelope);
        return;
      case "send":
        this.#post(member, effect.envelope);
        return;
      case "commit":
        this.#delivered.set(member, effect.upTo);
        return;
      case "role":
        if (effect.role === "leader") this.leader = member;
        return;
      case "reply":
        throw new Error(`a proposal was not taken: ${effect.reason}`);
      case "proposed":
      case "barrierReady":
      case "needSnapshot":
      case "configuration":
        return;
      default:
        unreachable(effect);
    }
  }

  #post(from: MemberId, { to, message }: Envelope<CoreMessage>): void {
    const inner = { type: this.#kind === "raft" ? "raft" : "paxos", group: 1, message } as PeerMessage;
    const frame = { cell: 1, from, to, message: inner };
    this.#queue.push({ from, to, message: this.#encoded ? encodePeerFrame(frame) : message });
  }
}

function opened(message: CoreMessage | Uint8Array): CoreMessage {
  if (!(message instanceof Uint8Array)) return message;
  const frame = decodePeerFrame(message);
  if (frame?.message.type !== "raft" && frame?.message.type !== "paxos")
    throw new Error("a frame that nobody damaged was refused");
  return frame.message.message;
}

function startedCore(kind: CoreKind, member: MemberId): Core {
  const configuration = { voters: members, outgoing: [], learners: [], learnersNext: [] };
  const restored = {
    hardState: { term: term(0), vote: undefined },
    start: { index: logIndex(0), term: term(0), configuration },
    entries: [],
  };
  const random = new SeededRandom(member);
  const core =
    kind === "raft"
      ? new Raft({ member, random, settings: defaultRaftSettings, restored })
      : new MultiPaxos({ member, random, settings: defaultMultiPaxosSettings, restored });
  // A core hears only what cores of its kind say.
  return core as ConsensusCore<never> as Core;
}

/** Runs a closed loop for `seconds`. A proposal counts when it is committed and delivered at the leader. */
export function measureCore(load: CoreLoad, seconds: number): CoreRates {
  const cell = new MemoryCell(load.core, load.encoded);
  const leader = cell.elect();
  const records = Array.from({ length: load.entriesPerProposal }, () => new Uint8Array(load.recordBytes).fill(1));
  const outstandingMax = load.clients * load.entriesPerProposal;
  const first = cell.delivered(leader);
  const firstMessages = cell.messages;
  let proposed: number = first;
  const cpuBefore = process.cpuUsage();
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const free = Math.floor((outstandingMax - (proposed - cell.delivered(leader))) / load.entriesPerProposal);
    cell.propose(leader, free, records);
    proposed += free * load.entriesPerProposal;
    for (let letters = 0; letters < 64 && cell.deliverNext(); letters++);
    cell.trim();
  }
  const { user, system } = process.cpuUsage(cpuBefore);
  const elapsedSeconds = (user + system) / 1e6;
  return {
    entriesPerSecond: (cell.delivered(leader) - first) / elapsedSeconds,
    messagesPerSecond: (cell.messages - firstMessages) / elapsedSeconds,
  };
}
