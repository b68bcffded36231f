/**
 * A node that is no more than a Raft core on a real write-ahead log: no clients, no state, no snapshots. It proposes
 * records of its own, and its leader takes in whoever is not in the configuration. Simulations of it are quick, and
 * whatever goes wrong is the core, the log, or the simulator.
 */
import {
  emptyConfiguration,
  type Entry,
  foundingConfiguration,
  type LogIndex,
  type MemberId,
  memberOf,
  nodeOf,
  Raft,
  type RaftMutation,
  defaultRaftSettings,
  type Term,
} from "@quipu/consensus";
import { CounterMachine } from "@quipu/counters";
import { QuipuError } from "@quipu/core";
import { WriteAheadLog } from "@quipu/log";
import {
  decodeEntry,
  decodeGroupState,
  decodePeerFrame,
  encodeEntry,
  encodeGroupState,
  encodePeerFrame,
} from "@quipu/protocol";
import type { GroupUnderTest, LifeOptions, NodeUnderTest } from "../src/cell/node-under-test.ts";

const group = 1;
const identityGroup = 2;
const cell = 7;
type RaftInput = Parameters<Raft["step"]>[0];
type RaftEffect = ReturnType<Raft["step"]>[number];

export class BareNode implements NodeUnderTest {
  readonly #options: LifeOptions;
  readonly #mutation: RaftMutation | undefined;
  readonly #seals: boolean;
  readonly machine: CounterMachine = new CounterMachine();
  #wal: WriteAheadLog | undefined;
  #core: Raft | undefined;
  #member: MemberId | undefined;
  #ticks = 0;
  #request = 1;
  #hard = { term: 0 as Term, vote: undefined as MemberId | undefined };
  #start = { index: 0 as LogIndex, term: 0 as Term, configuration: emptyConfiguration };
  #cancel: (() => void) | undefined;
  isServing = false;

  constructor(options: LifeOptions, mutation: RaftMutation | undefined, seals: boolean = false) {
    this.#options = options;
    this.#mutation = mutation;
    this.#seals = seals;
  }

  get member(): MemberId {
    return this.#member as MemberId;
  }

  get door(): never {
    throw new Error("a bare node has no door");
  }

  get groups(): readonly GroupUnderTest[] {
    const core = this.#core;
    if (core === undefined) return [];
    return [
      {
        group,
        engine: "raft",
        inspect: () => core.inspect(),
        entry: (index) => core.entry(index as LogIndex),
        changeMembers: (voters, learners) =>
          this.#step({ type: "changeMembers", request: this.#request++, voters, learners }),
        transferLeadership: (to) => this.#step({ type: "transferLeadership", to }),
      },
    ];
  }

  async start(): Promise<void> {
    const wal = await this.#openLog();
    this.#wal = wal;
    await this.#identify(wal);
    const entries: Entry[] = [];
    const state = wal.hardState(group);
    if (state !== undefined) {
      const decoded = decodeGroupState(state);
      if (decoded === undefined) throw new QuipuError("LOG_CORRUPT", "group state");
      this.#hard = { ...decoded.hardState };
      this.#start = { ...decoded.start };
      if (wal.nextIndex(group) > wal.firstIndex(group)) {
        await wal.readAll(group, (first, records) => {
          records.forEach((bytes, i) => {
            const entry = decodeEntry((first + i) as LogIndex, bytes);
            if (entry === undefined) throw new QuipuError("LOG_CORRUPT", `entry ${first + i}`);
            entries.push({ ...entry, ...(entry.kind === "record" ? { data: entry.data.slice() } : {}) } as Entry);
          });
        });
      }
    } else if (this.#options.bootstrap.type === "found" && this.member < 1024) {
      const founders = this.#options.bootstrap.founders.map((node) => memberOf(node, 0));
      this.#start = { ...this.#start, configuration: foundingConfiguration(founders) };
    }
    const { swarm, random, network } = this.#options;
    this.#core = new Raft({
      member: this.member,
      random,
      settings: {
        ...defaultRaftSettings,
        electionTicks: swarm.electionTicks,
        heartbeatTicks: swarm.heartbeatTicks,
        messageBytesMax: swarm.messageBytesMax,
        inflightMessagesMax: swarm.messagesInFlightMax,
      },
      restored: { hardState: this.#hard, start: this.#start, entries },
      ...(this.#mutation === undefined ? {} : { mutation: this.#mutation }),
    });
    this.#options.observeGroup(group, this.groups[0] as GroupUnderTest);
    network.listen(this.member, (from, bytes) => {
      const frame = decodePeerFrame(bytes);
      if (frame?.message.type !== "raft" || frame.to !== this.member || (frame.from as number) !== from) return;
      this.#step({ type: "receive", from: frame.from, message: frame.message.message });
    });
    this.isServing = true;
    this.#tick();
  }

  async stop(): Promise<void> {
    this.isServing = false;
    this.#cancel?.();
    await this.#wal?.close();
  }

  describe(): string {
    return JSON.stringify(this.#core?.inspect());
  }

  checkpoint(): Promise<void> {
    return Promise.resolve();
  }

  /** A log that is damaged is set aside whole; the node comes back under another id. */
  async #openLog(): Promise<WriteAheadLog> {
    const { disk, clock, random, swarm, onFatal, mutations } = this.#options;
    const open = (): Promise<WriteAheadLog> =>
      WriteAheadLog.open({
        disk,
        directory: "log",
        clock,
        random,
        limits: {
          segmentBytes: 4 * swarm.segmentBytes,
          frameBytesMax: 4 * swarm.frameBytesMax,
          hardStateBytesMax: 1024,
          groupsMax: 4,
        },
        onFatal,
        ...(mutations.log === undefined ? {} : { mutation: mutations.log }),
      });
    try {
      return await open();
    } catch (error) {
      if (!(error instanceof QuipuError) || error.code !== "LOG_CORRUPT") throw error;
      for (const name of await disk.list("log")) await disk.remove(`log/${name}`);
      await disk.syncDirectory("log");
      return open();
    }
  }

  async #identify(wal: WriteAheadLog): Promise<void> {
    const { node, bootstrap, random } = this.#options;
    const known = wal.hardState(identityGroup);
    if (known !== undefined) {
      this.#member = new DataView(known.buffer, known.byteOffset).getUint32(0, true) as MemberId;
      return;
    }
    const isFirst = bootstrap.type === "found" && !(await this.#options.disk.exists("founded"));
    this.#member = memberOf(node, isFirst ? 0 : 1 + random.below(1_000_000));
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, this.#member, true);
    await new Promise<void>((resolve, reject) =>
      wal.saveHardState(identityGroup, bytes, (error) => (error === undefined ? resolve() : reject(error))),
    );
    if (isFirst) {
      await this.#options.disk.open("founded", { create: "new" });
      await this.#options.disk.syncDirectory("");
    }
  }

  #tick(): void {
    const { clock, swarm } = this.#options;
    this.#cancel = clock.setTimer(swarm.tickMs, () => {
      this.#tick();
      this.#step({ type: "tick" });
      this.#ticks += 1;
      this.#lead();
    });
  }

  /** Proposes, and takes in whoever stands outside. */
  #lead(): void {
    const { random, network } = this.#options;
    const view = this.#core?.inspect();
    if (view?.role !== "leader") return;
    if (random.chance(1, 3)) {
      const records = Array.from({ length: 1 + random.below(3) }, () =>
        new Uint8Array(random.below(300)).fill(this.#ticks),
      );
      this.#step({ type: "propose", request: this.#request++, records });
    }
    // Once in a life or two, for groups that are given an end.
    if (this.#seals && random.chance(1, 200)) this.#step({ type: "seal", request: this.#request++ });
    if (this.#ticks % 17 !== 0 || view.configuration.outgoing.length > 0) return;
    const { voters, learners } = view.configuration;
    const isCaughtUp = (learner: MemberId): boolean =>
      view.progress.some(({ member, match }) => member === learner && match + 50 >= view.committed);
    const ready = learners.find(isCaughtUp);
    const peers = network.peers() as MemberId[];
    const outside = peers.find((peer) => !voters.includes(peer) && !learners.includes(peer));
    if (ready !== undefined) {
      const kept = voters.filter((voter) => nodeOf(voter) !== nodeOf(ready));
      this.#change(
        [...kept, ready],
        learners.filter((learner) => learner !== ready),
      );
    } else if (outside !== undefined) {
      this.#change(voters, [...learners.filter((learner) => nodeOf(learner) !== nodeOf(outside)), outside]);
    }
  }

  #change(voters: readonly MemberId[], learners: readonly MemberId[]): void {
    this.#step({ type: "changeMembers", request: this.#request++, voters, learners });
  }

  #step(input: RaftInput): void {
    const core = this.#core;
    if (core === undefined || !this.isServing) return;
    try {
      const effects = core.step(input);
      this.#options.observeGroup(group, this.groups[0] as GroupUnderTest);
      for (const effect of effects) this.#carryOut(effect);
    } catch (error) {
      this.isServing = false;
      this.#options.onFatal(error);
    }
  }

  #carryOut(effect: RaftEffect): void {
    if (effect.type === "send") this.#send(effect.envelope);
    if (effect.type !== "persist") return;
    const { token, hardState, truncateFrom, append, sendAfter } = effect;
    if (hardState !== undefined) this.#hard = { ...hardState };
    const state = encodeGroupState({ engine: "raft", hardState: this.#hard, start: this.#start });
    this.#wal?.write(
      group,
      {
        hardState: state,
        ...(truncateFrom === undefined ? {} : { truncateFrom }),
        records: append.map(encodeEntry),
      },
      (error) => {
        if (error !== undefined) {
          this.isServing = false;
          this.#options.onFatal(error);
          return;
        }
        sendAfter.forEach((envelope) => this.#send(envelope));
        this.#step({ type: "persisted", token });
      },
    );
  }

  #send(envelope: Extract<RaftEffect, { type: "send" }>["envelope"]): void {
    const { to, message } = envelope;
    this.#options.network.send(
      to,
      encodePeerFrame({ cell, from: this.member, to, message: { type: "raft", group, message } }),
    );
  }
}
