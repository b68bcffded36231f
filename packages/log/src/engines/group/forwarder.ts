/**
 * Brings this member's operations to another member that leads, in order: a stream of numbered messages, sent again until
 * each is answered. A stream belongs to one term. The leader proposes each number once, and none before the one below it
 * (forward-receiver.ts), so whatever is lost, repeated or late, operations stand in its log in the order of the calls.
 */
import type { MemberId, Term } from "@quipu/consensus";
import type { Random } from "@quipu/core";
import type { ForwardReply } from "@quipu/protocol";
import type { GroupHost } from "./group-host.ts";
import type { Operation, Place } from "./operation.ts";

/** Streams of one life: each time it turns to a leader it begins the next. */
const streamsOfLife = 0x1_0000;

/** Gives out the streams of a member, each later than the ones before. When they are used up, it is another life. */
export class Streams {
  readonly #random: Random;
  #life: number;
  #begun = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#life = random.uint32();
  }

  next(): number {
    if (this.#begun === streamsOfLife) {
      this.#life = this.#random.uint32();
      this.#begun = 0;
    }
    return this.#life * streamsOfLife + this.#begun++;
  }
}

/** Streams of one life are comparable: a leader takes nothing of one that was begun before another that it knows. */
export function lifeOf(stream: number): number {
  return Math.floor(stream / streamsOfLife);
}

interface Sent {
  readonly sequence: number;
  readonly operation: Operation;
  /** When last. */
  sentTicks: number;
}

export interface ForwarderHooks {
  placed(operation: Operation, place: Place): void;
  refused(operation: Operation, reason: "sealed" | "overloaded" | "refused"): void;
  /** The leader is none any more and never proposed these: they are the first to go to the next one. */
  returned(operations: readonly Operation[]): void;
  /** May be in the log, or appear in it. */
  lost(operation: Operation, why: string): void;
}

export class Forwarder {
  readonly #host: GroupHost;
  readonly #hooks: ForwarderHooks;
  readonly #term: Term;
  readonly #leader: MemberId;
  readonly #stream: number;
  #nextSequence = 1;
  /** Without an answer, in the order of their numbers. */
  #window: Sent[] = [];
  /** Of these. */
  #windowBytes = 0;
  /** Takes nothing more. */
  #ended = false;
  #deposed = false;
  /** When the last answer said that one is missing: once per tick is enough, however many say the same. */
  #wentBackTicks = -1;

  constructor(host: GroupHost, hooks: ForwarderHooks, term: Term, leader: MemberId, stream: number) {
    this.#host = host;
    this.#hooks = hooks;
    this.#term = term;
    this.#leader = leader;
    this.#stream = stream;
  }

  get term(): Term {
    return this.#term;
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  /** The leader said that it is none any more. */
  get isDeposed(): boolean {
    return this.#deposed;
  }

  get hasRoom(): boolean {
    const oldest = this.#window[0]?.sequence ?? this.#nextSequence;
    const { forwardWindow, forwardEarlyBytesMax } = this.#host.settings;
    if (this.#ended || this.#windowBytes >= forwardEarlyBytesMax) return false;
    // Not by count: the leader remembers the answers to the last numbers only.
    return this.#nextSequence - oldest < forwardWindow;
  }

  send(operation: Operation): void {
    const sent = { sequence: this.#nextSequence++, operation, sentTicks: this.#host.nowTicks };
    this.#window.push(sent);
    this.#windowBytes += operation.bytes;
    this.#transmit(sent);
  }

  onReply(from: MemberId, { stream, sequence, outcome }: ForwardReply): void {
    if (stream !== this.#stream || from !== this.#leader) return;
    if (outcome.kind === "outOfOrder") {
      this.#goBack(outcome.expected);
      return;
    }
    const at = this.#window.findIndex((sent) => sent.sequence === sequence);
    const operation = this.#window[at]?.operation;
    if (operation === undefined) return;
    if (outcome.kind === "refused" && outcome.reason === "dropped") {
      // One that leads still, but hands its leadership over, may take it a little later.
      if (outcome.leader !== from) this.#return(at);
      return;
    }
    if (outcome.kind === "refused") {
      this.#take(at, 1);
      this.#hooks.refused(operation, outcome.reason as "sealed" | "overloaded" | "refused");
      return;
    }
    if (outcome.term !== this.#term || !fits(operation, outcome)) return;
    this.#take(at, 1);
    this.#hooks.placed(operation, outcome);
  }

  /** Sends again what has waited for an answer, and gives up a leader that is silent for too long. */
  tick(): void {
    const { nowTicks, settings } = this.#host;
    const oldest = this.#window[0];
    if (oldest !== undefined && oldest.operation.deadlineTicks <= nowTicks) {
      this.end("the leader did not answer");
      return;
    }
    let bytes = 0;
    for (const sent of this.#window) {
      if (nowTicks - sent.sentTicks < settings.forwardRetryTicks) continue;
      bytes += sent.operation.bytes;
      if (bytes > settings.forwardRetryBytesMax && sent !== oldest) return;
      this.#transmit(sent);
    }
  }

  /** The term is over, or the leader silent: what has no answer by now gets none. */
  end(why: string): void {
    this.#ended = true;
    for (const { operation } of this.#take(0)) this.#hooks.lost(operation, why);
  }

  #take(at: number, count: number = this.#window.length): readonly Sent[] {
    const taken = this.#window.splice(at, count);
    for (const { operation } of taken) this.#windowBytes -= operation.bytes;
    return taken;
  }

  /** The leader waits for that one, and keeps what came before it. */
  #goBack(expected: number): void {
    const { nowTicks } = this.#host;
    if (this.#wentBackTicks === nowTicks) return;
    this.#wentBackTicks = nowTicks;
    const missing = this.#window.find(({ sequence }) => sequence === expected);
    if (missing !== undefined) this.#transmit(missing);
  }

  /** Neither this number nor any above it was or will be proposed by that leader in this term. */
  #return(at: number): void {
    this.#ended = true;
    this.#deposed = true;
    this.#hooks.returned(this.#take(at).map(({ operation }) => operation));
    this.end("the leader changed");
  }

  #transmit(sent: Sent): void {
    sent.sentTicks = this.#host.nowTicks;
    this.#host.hub.send(this.#leader, {
      type: "forward",
      group: this.#host.group,
      term: this.#term,
      stream: this.#stream,
      sequence: sent.sequence,
      operation: sent.operation.content,
    });
  }
}

function fits({ content }: Operation, { first, last }: Place): boolean {
  return last - first + 1 === (content.kind === "seal" ? 1 : content.records.length);
}
