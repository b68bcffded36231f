/**
 * One group: drives a core. Inputs come in one after another, and all effects of one are carried out, in order, before
 * the next; what arises meanwhile waits. The parts around it (appends, barriers, trimming, ...) hold everything that is
 * not consensus itself.
 */
import {
  type Configuration,
  type ConsensusCore,
  type CoreView,
  type Entry,
  type Effect,
  type Envelope,
  type Input,
  type LogIndex,
  type LogStart,
  type MemberId,
  type PaxosMessage,
  type RaftMessage,
  type RequestId,
  type RestoredState,
} from "@quipu/consensus";
import { type Clock, invariant, QuipuError, type Random, unreachable } from "@quipu/core";
import type { GroupDropped, GroupEngine, GroupMade, GroupMadeReply, PeerMessage } from "@quipu/protocol";
import type { PeerHub } from "../../peer/peer-hub.ts";
import { Appends } from "./appends.ts";
import { Barriers } from "./barriers.ts";
import { Changes } from "./changes.ts";
import { CommitNotices } from "./commit-notices.ts";
import type { CoreAdapter, CoreMessage } from "./core-adapter.ts";
import { Delivery } from "./delivery.ts";
import { ForwardReceiver } from "./forward-receiver.ts";
import type { Answer, GroupHost, Leadership, LocalInput, PersistEffect } from "./group-host.ts";
import { MembershipKeeper } from "./keeper.ts";
import type { LogLayout } from "./log-layout.ts";
import { LogSizes } from "./log-sizes.ts";
import type { GroupMutation } from "./mutation.ts";
import { type GroupWriter, Persister } from "./persister.ts";
import type { GroupSettings } from "./settings.ts";
import { Trimming } from "./trimming.ts";

/** A group as status pages, membership policy and the simulator see it. */
export interface ConsensusGroup {
  readonly group: number;
  readonly engine: GroupEngine;
  inspect(): CoreView;
  entry(index: LogIndex): Entry | undefined;
  /**
   * Resolves when the final configuration, which is not joint, is committed. Rejects with OVERLOADED (definite: not the
   * leader, or refused by it) or LOG_APPEND_UNKNOWN; with INVALID_CONFIGURATION where the members of a group never change.
   */
  changeMembers(voters: readonly MemberId[], learners: readonly MemberId[]): Promise<void>;
  /** Best effort, and only on the leader. */
  transferLeadership(to: MemberId): void;
}

export interface GroupOptions<Message extends CoreMessage> {
  readonly group: number;
  readonly adapter: CoreAdapter<Message>;
  readonly core: ConsensusCore<Message>;
  readonly layout: LogLayout;
  readonly restored: RestoredState;
  readonly writer: GroupWriter;
  readonly hub: PeerHub;
  readonly clock: Pick<Clock, "endOfTurn" | "setTimer">;
  readonly random: Random;
  readonly settings: GroupSettings;
  readonly onFatal: (error: unknown) => void;
  readonly mutation: GroupMutation | undefined;
  readonly observe: ((group: number, group_: ConsensusGroup) => void) | undefined;
  readonly onConfiguration: ((configuration: Configuration, group: number) => void) | undefined;
}

export type AnyGroup = DrivenGroup<RaftMessage> | DrivenGroup<PaxosMessage>;

/** What a group says to the same group on another node. */
export type GroupMessage = Exclude<
  Extract<PeerMessage, { readonly group: number }>,
  GroupMade | GroupMadeReply | GroupDropped
>;

export class DrivenGroup<Message extends CoreMessage> implements GroupHost, ConsensusGroup {
  readonly group: number;
  readonly engine: GroupEngine;
  readonly member: MemberId;
  readonly settings: GroupSettings;
  readonly hub: PeerHub;
  readonly random: Random;
  readonly mutation: GroupMutation | undefined;
  readonly delivery: Delivery;
  readonly appends: Appends;
  readonly barriers: Barriers;
  readonly #adapter: CoreAdapter<Message>;
  readonly #core: ConsensusCore<Message>;
  readonly #sizes: LogSizes;
  readonly #persister: Persister<Message>;
  readonly #forwards: ForwardReceiver;
  readonly #notices: CommitNotices<Message>;
  readonly #trimming: Trimming;
  readonly #changes: Changes;
  readonly #keeper: MembershipKeeper;
  readonly #onFatal: (error: unknown) => void;
  readonly #observe: GroupOptions<Message>["observe"];
  readonly #onConfiguration: GroupOptions<Message>["onConfiguration"];
  readonly #answers: Map<RequestId, (answer: Answer) => void> = new Map();
  readonly #onSnapshotNeeded: ((source: MemberId, atLeast: LogIndex) => void)[] = [];
  /** Of what waits for the disk. */
  readonly #unfinished: Set<(error: QuipuError) => void> = new Set();
  #requests = 0;
  #jobs: (() => void)[] = [];
  #isRunning = false;
  #isStepping = false;
  #isOpen = true;
  #nowTicks = 0;
  #leadership: Leadership;
  #configuration: Configuration;
  #droppedInputs = 0;
  /** No leader sends more at once: a message is one write, and must fit the write-ahead log. */
  readonly #messageBytesMax: number;

  constructor(options: GroupOptions<Message>) {
    const { adapter } = options;
    this.group = options.group;
    this.engine = adapter.engine;
    this.#adapter = adapter;
    this.member = options.hub.member;
    this.settings = options.settings;
    this.#messageBytesMax = Math.max(adapter.messageBytesMax(options.settings), options.settings.appendBytesMax);
    this.hub = options.hub;
    this.random = options.random;
    this.mutation = options.mutation;
    this.#core = options.core;
    this.#onFatal = options.onFatal;
    this.#observe = options.observe;
    this.#onConfiguration = options.onConfiguration;
    const { restored } = options;
    const { role, term, leader, configuration } = options.core.inspect();
    this.#leadership = { role, term, leader };
    this.#configuration = configuration;
    this.#sizes = new LogSizes(restored.start.index, restored.entries, adapter.hasHoles);
    this.delivery = new Delivery(this, options.clock, restored.start.index, (error) => this.#fail(error));
    this.#persister = new Persister(
      this,
      options.writer,
      {
        durable: (token, sendAfter) => this.#durable(token, sendAfter),
        failed: (error) => this.#fail(error),
      },
      options.layout,
    );
    this.appends = new Appends(this, this.delivery);
    this.barriers = new Barriers(this, this.delivery);
    this.#forwards = new ForwardReceiver(this);
    this.#notices = new CommitNotices(adapter, options.clock, ({ to, message }) => {
      this.hub.send(to, adapter.toPeer(this.group, message));
    });
    this.#trimming = new Trimming(this, this.delivery, this.#sizes);
    this.#changes = new Changes(this);
    const change = this.changeMembers.bind(this);
    this.#keeper = new MembershipKeeper(this, change, adapter.membersChange);
    // As it was found on disk.
    this.#observe?.(this.group, this);
    this.#onConfiguration?.(configuration, this.group);
  }

  get nowTicks(): number {
    return this.#nowTicks;
  }

  get leadership(): Leadership {
    return this.#leadership;
  }

  get configuration(): Configuration {
    return this.#configuration;
  }

  get refusal(): "DISK_FULL" | undefined {
    return this.#persister.full ? "DISK_FULL" : undefined;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Messages that were dropped because too much waited. */
  get droppedInputs(): number {
    return this.#droppedInputs;
  }

  inspect(): CoreView {
    return this.#core.inspect();
  }

  entry(index: LogIndex): Entry | undefined {
    return this.#core.entry(index);
  }

  /** As {@link ConsensusCore.startAt}. */
  startAt(index: LogIndex): LogStart | undefined {
    return this.#core.startAt(index);
  }

  run(job: () => void): void {
    if (!this.#isOpen) return;
    this.#jobs.push(job);
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (let next = 0; next < this.#jobs.length && this.#isOpen; next++) this.#jobs[next]?.();
      if (this.#isOpen) this.#notices.endOfWork();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#jobs = [];
      this.#isRunning = false;
    }
  }

  step(input: LocalInput): void {
    this.#step(input);
  }

  #step(input: Input<Message>): void {
    invariant(this.#isRunning && !this.#isStepping, `group ${this.group}: a step within a step`);
    const { leadership } = this;
    const { delivered, sealedAt } = this.delivery;
    this.#isStepping = true;
    try {
      const effects = this.#core.step(input);
      // Before anybody else can know: a process may end while its effects are carried out.
      this.#observe?.(this.group, this);
      for (const effect of effects) this.#carryOut(effect);
    } finally {
      this.#isStepping = false;
    }
    const moved = delivered !== this.delivery.delivered || sealedAt !== this.delivery.sealedAt;
    if (moved) {
      this.appends.onDelivered();
      this.barriers.onDelivered();
    }
    if (moved || leadership !== this.#leadership) this.#changes.check();
    if (leadership === this.#leadership) return;
    this.run(() => this.appends.pump());
    this.run(() => this.barriers.onLeadership());
  }

  ask(makeInput: (request: RequestId) => LocalInput, onAnswer: (answer: Answer) => void): void {
    const request = ++this.#requests;
    this.#answers.set(request, onAnswer);
    this.step(makeInput(request));
  }

  awaits(member: MemberId, index: LogIndex): void {
    this.#notices.awaits(member, index);
  }

  tick(): void {
    this.run(() => {
      this.#nowTicks++;
      this.#persister.tick();
      this.step({ type: "tick" });
      this.appends.tick();
      this.barriers.tick();
      this.#changes.tick();
      this.#trimming.tick();
      this.#keeper.tick();
    });
  }

  receive(from: MemberId, message: GroupMessage): void {
    if (this.#jobs.length >= this.settings.waitingInputsMax) this.#droppedInputs++;
    else this.run(() => this.#receive(from, message));
  }

  changeMembers(voters: readonly MemberId[], learners: readonly MemberId[]): Promise<void> {
    if (this.#adapter.membersChange) return this.#changes.change(voters, learners);
    const why = `the members of a group of engine ${this.engine} never change: begin another segment of the log`;
    return Promise.reject(new QuipuError("INVALID_CONFIGURATION", why));
  }

  transferLeadership(to: MemberId): void {
    this.run(() => this.step({ type: "transferLeadership", to }));
  }

  /** State up to `upTo` stands in this node's synced snapshots. */
  checkpointed(upTo: LogIndex): void {
    this.run(() => this.#trimming.checkpointed(upTo));
  }

  /** See {@link LogReplication.agreedUpTo}. */
  agreedUpTo(): number {
    return this.#trimming.agreedUpTo();
  }

  /** Resolves when what the input puts on disk is durable. */
  stepDurably(input: LocalInput): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#unfinished.add(reject);
      this.run(() => {
        this.step(input);
        this.#persister.afterDurable(() => {
          this.#unfinished.delete(reject);
          resolve();
        });
      });
    });
  }

  onSnapshotNeeded(handler: (source: MemberId, atLeast: LogIndex) => void): void {
    this.#onSnapshotNeeded.push(handler);
  }

  /** Writes the log again in the newest segment, if it is small: it keeps the oldest one from being removed. */
  rewrite(): void {
    if (this.#sizes.bytes > this.settings.rewriteBytesMax) return;
    this.run(() => {
      const { start, last } = this.#core.inspect();
      const entries: Entry[] = [];
      for (let index = start.index + 1; index <= last; index++) {
        const entry = this.#core.entry(index as LogIndex);
        if (entry !== undefined) entries.push(entry);
        else invariant(this.#adapter.hasHoles, `no entry ${index} in a log of ${start.index + 1}..${last}`);
      }
      this.#persister.rewrite(entries);
    });
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.delivery.readers.closeAll();
    this.appends.close();
    this.barriers.close();
    this.#changes.close();
    this.#notices.close();
    const error = new QuipuError("SHUTTING_DOWN", "the log is closed", { outcome: "unknown" });
    for (const reject of this.#unfinished) reject(error);
    this.#unfinished.clear();
  }

  #receive(from: MemberId, message: GroupMessage): void {
    this.#trimming.heard(from);
    switch (message.type) {
      case "raft":
      case "paxos": {
        const inner = this.#adapter.fromPeer(message);
        if (inner === undefined || this.#adapter.dataBytes(inner) > this.#messageBytesMax) this.#droppedInputs++;
        else this.#step({ type: "receive", from, message: inner });
        return;
      }
      case "forward":
        this.#forwards.onForward(from, message);
        return;
      case "forwardReply":
        this.appends.onReply(from, message);
        return;
      case "barrier":
        this.barriers.onBarrier(from, message);
        return;
      case "barrierReply":
        this.barriers.onReply(message);
        return;
      case "checkpointed":
        this.#trimming.onCheckpointed(from, message);
        return;
      case "join":
        this.#keeper.onJoin(from);
        return;
      default:
        unreachable(message);
    }
  }

  #carryOut(effect: Effect<Message>): void {
    switch (effect.type) {
      case "persist":
        this.#persist(effect);
        return;
      case "send":
        this.#send(effect.envelope);
        return;
      case "commit":
        this.delivery.advance(effect.upTo);
        return;
      case "proposed":
      case "barrierReady":
      case "reply": {
        const onAnswer = this.#answers.get(effect.request);
        invariant(onAnswer !== undefined, `an answer to request ${effect.request}, which nobody waits for`);
        this.#answers.delete(effect.request);
        onAnswer(effect);
        return;
      }
      case "needSnapshot":
        for (const handler of this.#onSnapshotNeeded) handler(effect.from, effect.atLeast);
        return;
      case "role":
        this.#leadership = { role: effect.role, term: effect.term, leader: effect.leader };
        this.#forwards.onLeadership();
        return;
      case "configuration":
        this.#configuration = effect.configuration;
        this.#onConfiguration?.(effect.configuration, this.group);
        return;
      default:
        unreachable(effect);
    }
  }

  #persist(effect: PersistEffect<Message>): void {
    if (effect.restart !== undefined) {
      this.#sizes.restart(effect.restart.index);
      this.delivery.begins(effect.restart.index);
    }
    if (effect.trim !== undefined) {
      this.#sizes.trim(effect.trim.index);
      this.delivery.begins(effect.trim.index);
    }
    if (effect.truncateFrom !== undefined) this.#sizes.truncateFrom(effect.truncateFrom);
    this.#sizes.append(effect.append);
    if (this.mutation === "send-after-ignored") for (const envelope of effect.sendAfter) this.#send(envelope);
    this.#persister.add(effect);
  }

  #durable(token: number, sendAfter: readonly Envelope<Message>[]): void {
    if (this.mutation !== "send-after-ignored") for (const envelope of sendAfter) this.#send(envelope);
    this.run(() => this.step({ type: "persisted", token }));
  }

  #send(envelope: Envelope<Message>): void {
    this.#notices.send(envelope);
  }

  #fail(error: unknown): void {
    if (!this.#isOpen) return;
    this.#onFatal(error);
    this.close();
  }
}
