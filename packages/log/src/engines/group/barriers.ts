/**
 * Linearizable tails (Raft §8, thesis §6.4): the leader says below which index everything lies that was committed before
 * the question came, and this member waits until it has delivered up to there. One question serves all callers that were
 * there when it was sent.
 */
import type { LogIndex, MemberId } from "@quipu/consensus";
import { lsn, QuipuError } from "@quipu/core";
import type { Barrier, BarrierReply } from "@quipu/protocol";
import type { Tail } from "../../loglet.ts";
import type { Delivery } from "./delivery.ts";
import { type GroupHost, randomId } from "./group-host.ts";

interface Caller {
  readonly deadlineTicks: number;
  readonly resolve: (tail: Tail) => void;
  readonly reject: (error: QuipuError) => void;
}

/** One question to the leader, and who waits for its answer. */
interface Round {
  readonly request: number;
  callers: Caller[];
  /** When it was asked last; undefined: nobody is there to be asked. */
  askedTicks: number | undefined;
  /** The answer. */
  index: LogIndex | undefined;
}

export class Barriers {
  readonly #host: GroupHost;
  readonly #delivery: Delivery;
  readonly #stream: number;
  /** In the order in which they were begun. */
  #rounds: Round[] = [];
  /** Came after the last round was begun. */
  #next: Caller[] = [];
  #waiting = 0;
  #requests = 0;
  /** Under way for other members. */
  #forPeers = 0;
  /** What the last answer was. Only a mutation looks at it. */
  #lastIndex: LogIndex | undefined;

  constructor(host: GroupHost, delivery: Delivery) {
    this.#host = host;
    this.#delivery = delivery;
    this.#stream = randomId(host.random);
  }

  tail(): Promise<Tail> {
    const { settings, nowTicks, mutation } = this.#host;
    if (this.#delivery.sealedAt !== undefined) return Promise.resolve(this.#tail());
    if (mutation === "barrier-answer-cached" && this.#lastIndex !== undefined) return Promise.resolve(this.#tail());
    if (this.#waiting >= settings.tailsMax) {
      return Promise.reject(new QuipuError("OVERLOADED", `${this.#waiting} reads wait for the tail of the log`));
    }
    return new Promise((resolve, reject) => {
      this.#waiting++;
      this.#next.push({ deadlineTicks: nowTicks + settings.tailDeadlineTicks, resolve, reject });
      this.#host.run(() => this.#begin());
    });
  }

  /** Another member asks. Inside of a job. */
  onBarrier(from: MemberId, { group, request, stream }: Barrier): void {
    const reply = (index: LogIndex | undefined): void => {
      const { leader } = this.#host.leadership;
      if (index !== undefined) this.#host.awaits(from, index);
      this.#host.hub.send(from, { type: "barrierReply", group, request, stream, index, leader });
    };
    if (this.#host.leadership.role !== "leader") {
      reply(undefined);
      return;
    }
    if (this.#forPeers >= this.#host.settings.peerBarriersMax) return;
    this.#forPeers++;
    this.#host.ask(
      (id) => ({ type: "readBarrier", request: id }),
      (answer) => {
        this.#forPeers--;
        reply(answer.type === "barrierReady" ? answer.index : undefined);
      },
    );
  }

  onReply({ request, stream, index }: BarrierReply): void {
    if (stream === this.#stream) this.#answered(request, index);
  }

  /** Somebody else leads, or nobody. Inside of a job. */
  onLeadership(): void {
    for (const round of this.#rounds) if (round.index === undefined) this.#ask(round);
    this.#begin();
  }

  /** The log was delivered further. */
  onDelivered(): void {
    const { delivered, sealedAt } = this.#delivery;
    if (this.#waiting === 0) return;
    for (const round of this.#rounds) {
      const reached = round.index !== undefined && round.index <= delivered;
      if (reached || sealedAt !== undefined) this.#finish(round.callers);
    }
    if (sealedAt !== undefined) this.#finish(this.#next.splice(0));
    this.#dropFinished();
  }

  tick(): void {
    const { nowTicks, settings } = this.#host;
    for (const round of this.#rounds) {
      round.callers = this.#withoutLate(round.callers);
      const asked = round.askedTicks ?? Number.NEGATIVE_INFINITY;
      if (round.index === undefined && nowTicks - asked >= settings.barrierRetryTicks) this.#ask(round);
    }
    this.#next = this.#withoutLate(this.#next);
    this.#dropFinished();
    this.#begin();
  }

  close(): void {
    const error = new QuipuError("SHUTTING_DOWN", "the log is closed");
    for (const { callers } of this.#rounds.splice(0)) for (const caller of callers) caller.reject(error);
    for (const caller of this.#next.splice(0)) caller.reject(error);
    this.#waiting = 0;
  }

  #begin(): void {
    if (this.#next.length === 0 || this.#rounds.length >= this.#host.settings.barriersMax) return;
    const round: Round = { request: ++this.#requests, callers: this.#next, askedTicks: undefined, index: undefined };
    this.#next = [];
    this.#rounds.push(round);
    this.#ask(round);
  }

  #ask(round: Round): void {
    const { role, leader } = this.#host.leadership;
    const { request } = round;
    round.askedTicks = this.#host.nowTicks;
    if (role === "leader") {
      this.#host.ask(
        (id) => ({ type: "readBarrier", request: id }),
        (answer) => this.#answered(request, answer.type === "barrierReady" ? answer.index : undefined),
      );
    } else if (leader === undefined) {
      round.askedTicks = undefined;
    } else {
      this.#host.hub.send(leader, { type: "barrier", group: this.#host.group, request, stream: this.#stream });
    }
  }

  /** Any answer to this request will do: its callers were all there when it was asked first. */
  #answered(request: number, index: LogIndex | undefined): void {
    const round = this.#rounds.find((one) => one.request === request);
    if (round === undefined || round.index !== undefined || index === undefined) return;
    round.index = index;
    this.#lastIndex = index;
    this.onDelivered();
    this.#host.run(() => this.#begin());
  }

  #finish(callers: Caller[]): void {
    this.#waiting -= callers.length;
    for (const caller of callers.splice(0)) caller.resolve(this.#tail());
  }

  #dropFinished(): void {
    this.#rounds = this.#rounds.filter(({ callers }) => callers.length > 0);
  }

  #withoutLate(callers: readonly Caller[]): Caller[] {
    const { nowTicks } = this.#host;
    const late = callers.filter(({ deadlineTicks }) => deadlineTicks <= nowTicks);
    if (late.length === 0) return [...callers];
    this.#waiting -= late.length;
    const error = new QuipuError(
      "OVERLOADED",
      "the tail of the log was not reached in time: no quorum, or this member is behind",
    );
    for (const caller of late) caller.reject(error);
    return callers.filter(({ deadlineTicks }) => deadlineTicks > nowTicks);
  }

  #tail(): Tail {
    return { tail: lsn(this.#delivery.tail), sealed: this.#delivery.sealedAt !== undefined };
  }
}
