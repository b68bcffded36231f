/**
 * This member's own appends and seals, on their way to whoever leads: they wait until somebody does, are proposed here
 * or forwarded there, and end when this member delivers what stands at their place.
 *
 * Order: one that is called later never stands before one that was called earlier. Whatever was given to a leader of
 * one term can stand only below everything that is given to a leader of a later one.
 */
import type { LogIndex, MemberId, Term } from "@quipu/consensus";
import { QuipuError } from "@quipu/core";
import { type ForwardReply, peerEntriesMax } from "@quipu/protocol";
import type { Appended } from "../../loglet.ts";
import type { Delivery } from "./delivery.ts";
import { Forwarder, type ForwarderHooks, Streams } from "./forwarder.ts";
import type { Answer, GroupHost } from "./group-host.ts";
import { appendedAt, type Operation, type Place, refusedError, sealedError, unknownError } from "./operation.ts";

interface Placed extends Place {
  readonly operation: Operation;
}

export class Appends {
  readonly #host: GroupHost;
  readonly #delivery: Delivery;
  /** Given to nobody, in the order of the calls. */
  #waiting: Operation[] = [];
  #forwarder: Forwarder | undefined;
  readonly #streams: Streams;
  /** In some leader's log, perhaps to be replaced there. */
  #placed: Placed[] = [];
  /** Seals that did not come through, to be asked for again. */
  readonly #sealsAgain: Operation[] = [];
  /** Of all of these. */
  #count = 0;
  #bytes = 0;
  /** This member leads but takes nothing at present, because it hands its leadership over. */
  #blockedTicks = -1;
  #isClosed = false;
  readonly #hooks: ForwarderHooks;

  constructor(host: GroupHost, delivery: Delivery) {
    this.#host = host;
    this.#delivery = delivery;
    this.#streams = new Streams(host.random);
    this.#hooks = {
      placed: (operation, place) => this.#place(operation, place),
      refused: (operation, reason) => this.#refuse(operation, reason),
      returned: (operations) => {
        this.#waiting = [...operations, ...this.#waiting];
      },
      lost: (operation, why) => this.#lose(operation, why),
    };
  }

  append(records: readonly Uint8Array[]): Promise<Appended> {
    let bytes = 0;
    for (const record of records) bytes += record.length;
    const refusal = this.#refusal(records.length, bytes);
    if (refusal !== undefined) return Promise.reject(refusal);
    return this.#begin({ kind: "append", records }, bytes);
  }

  async seal(): Promise<void> {
    if (this.#delivery.sealedAt !== undefined) return;
    if (this.#count >= this.#host.settings.appendsMax) throw overloaded("too many appends under way");
    await this.#begin({ kind: "seal" }, 0);
  }

  /** Gives what waits to whoever leads. Inside of a job. */
  pump(): void {
    const { role, term, leader } = this.#host.leadership;
    if (this.#forwarder !== undefined && this.#forwarder.term !== term) {
      this.#forwarder.end("the leader changed");
      this.#forwarder = undefined;
    }
    const { sealedAt } = this.#delivery;
    if (sealedAt !== undefined) this.#endWaiting(sealedAt);
    if (this.#waiting.length === 0) return;
    if (role === "leader") this.#proposeWaiting();
    else if (leader !== undefined) this.#forwardWaiting(leader);
  }

  onReply(from: MemberId, reply: ForwardReply): void {
    this.#forwarder?.onReply(from, reply);
    this.pump();
  }

  /** The log was delivered further, or begins elsewhere. Inside of a job. */
  onDelivered(): void {
    const { delivered, sealedAt } = this.#delivery;
    if (sealedAt !== undefined) this.#endWaiting(sealedAt);
    if (this.#placed.length === 0) return;
    const open: Placed[] = [];
    const ended: Placed[] = [];
    for (const placed of this.#placed) {
      const hasEnded = placed.last <= delivered || (sealedAt !== undefined && placed.last >= sealedAt);
      (hasEnded ? ended : open).push(placed);
    }
    if (ended.length === 0) return;
    this.#placed = open;
    for (const placed of ended) this.#settle(placed, sealedAt);
  }

  tick(): void {
    const { nowTicks } = this.#host;
    const late = ({ deadlineTicks }: Operation): boolean => deadlineTicks <= nowTicks;
    this.#forwarder?.tick();
    for (const placed of this.#placed.filter(({ operation }) => late(operation))) {
      this.#placed.splice(this.#placed.indexOf(placed), 1);
      this.#end(placed.operation).reject(unknownError("it was not committed in time"));
    }
    for (const operation of this.#sealsAgain.splice(0)) {
      if (late(operation)) this.#end(operation).reject(unknownError("the seal was not committed in time"));
      else this.#waiting.push(operation);
    }
    // In order: an older one is late before a younger one.
    while (this.#waiting[0] !== undefined && late(this.#waiting[0])) {
      this.#end(this.#waiting.shift() as Operation).reject(overloaded("no leader was found in time"));
    }
    this.pump();
  }

  close(): void {
    this.#isClosed = true;
    this.#forwarder?.end("the log is closed");
    for (const operation of [...this.#waiting.splice(0), ...this.#sealsAgain.splice(0)]) {
      this.#end(operation).reject(closedError("definite"));
    }
    for (const { operation } of this.#placed.splice(0)) this.#end(operation).reject(closedError("unknown"));
  }

  #refusal(records: number, bytes: number): QuipuError | undefined {
    const { settings, refusal } = this.#host;
    if (this.#delivery.sealedAt !== undefined) return sealedError();
    if (bytes > settings.appendBytesMax || records > peerEntriesMax) {
      return new QuipuError(
        "VALUE_TOO_LARGE",
        `an append of ${records} records, ${bytes} bytes, is more than one message`,
      );
    }
    if (this.#count >= settings.appendsMax || this.#bytes + bytes > settings.appendsBytesMax) {
      return overloaded(`${this.#count} appends of ${this.#bytes} bytes are under way`);
    }
    if (refusal === undefined) return undefined;
    return new QuipuError("DISK_FULL", "no room for the log on this member's disk; reads go on");
  }

  #begin(content: Operation["content"], bytes: number): Promise<Appended> {
    return new Promise((resolve, reject) => {
      const deadlineTicks = this.#host.nowTicks + this.#host.settings.appendDeadlineTicks;
      this.#count++;
      this.#bytes += bytes;
      this.#waiting.push({ content, bytes, deadlineTicks, resolve, reject });
      this.#host.run(() => this.pump());
    });
  }

  /** The operation has its outcome, which the caller gives it now. */
  #end(operation: Operation): Operation {
    this.#count--;
    this.#bytes -= operation.bytes;
    return operation;
  }

  #proposeWaiting(): void {
    // A step may end the leadership, and may bring answers that seal the log.
    while (this.#host.leadership.role === "leader" && this.#blockedTicks !== this.#host.nowTicks) {
      const operation = this.#waiting[0];
      if (operation === undefined) return;
      const { content } = operation;
      this.#host.ask(
        (request) =>
          content.kind === "seal" ? { type: "seal", request } : { type: "propose", request, records: content.records },
        (answer) => this.#onAnswer(operation, answer),
      );
      if (this.#waiting[0] === operation) return;
    }
  }

  #onAnswer(operation: Operation, answer: Answer): void {
    if (answer.type === "reply" && answer.reason === "dropped") {
      this.#blockedTicks = this.#host.nowTicks;
      return;
    }
    this.#waiting.shift();
    if (answer.type === "proposed") this.#place(operation, answer);
    else this.#refuse(operation, answer.type === "reply" && answer.reason !== "dropped" ? answer.reason : "refused");
  }

  #forwardWaiting(leader: MemberId): void {
    const { term } = this.#host.leadership;
    // Nobody else leads in a term; the next leader makes itself known.
    if (this.#forwarder?.isDeposed === true) return;
    if (this.#forwarder === undefined || this.#forwarder.hasEnded) {
      this.#forwarder = new Forwarder(this.#host, this.#hooks, term, leader, this.#streams.next());
    }
    while (this.#waiting.length > 0 && this.#forwarder.hasRoom) {
      this.#forwarder.send(this.#waiting.shift() as Operation);
    }
  }

  #place(operation: Operation, { term, first, last }: Place): void {
    if (this.#host.mutation === "append-acknowledged-when-proposed" && operation.content.kind === "append") {
      this.#end(operation).resolve(appendedAt({ first, last }));
      return;
    }
    // By place, so that they end in the order of the calls, although answers overtake each other.
    let before = this.#placed.length;
    while (before > 0 && (this.#placed[before - 1]?.first ?? 0) > first) before--;
    this.#placed.splice(before, 0, { operation, term, first, last });
    // The answer may come after the commitment.
    if (last <= this.#delivery.delivered) this.onDelivered();
  }

  #settle({ operation, term, first, last }: Placed, sealedAt: LogIndex | undefined): void {
    if (operation.content.kind === "seal") {
      if (sealedAt === undefined) this.#again(operation);
      else this.#end(operation).resolve(appendedAt({ first, last }));
      return;
    }
    // Proposed once, and what stands behind the seal is void: surely nowhere.
    if (sealedAt !== undefined && first > sealedAt) {
      this.#end(operation).reject(sealedError());
      return;
    }
    if (this.#isOurs(term, first, last) && (sealedAt === undefined || last < sealedAt)) {
      this.#end(operation).resolve(appendedAt({ first, last }));
    } else {
      this.#end(operation).reject(unknownError("another leader's entries took its place"));
    }
  }

  /**
   * Of one term there is one leader, and one entry at an index. In Raft the log up to an entry is that of its leader: all
   * of first..last is ours, or not the last. In Multi-Paxos each slot is chosen by itself: a leader that died may leave
   * any of them.
   */
  #isOurs(term: Term, first: LogIndex, last: LogIndex): boolean {
    for (let index = this.#host.engine === "raft" ? last : first; index <= last; index++) {
      if (this.#host.entry(index)?.term !== term) return false;
    }
    return true;
  }

  #refuse(operation: Operation, reason: "sealed" | "overloaded" | "refused"): void {
    // A seal that stands already: it is known here soon.
    if (operation.content.kind === "seal" && reason === "sealed") this.#again(operation);
    else this.#end(operation).reject(refusedError(reason));
  }

  #lose(operation: Operation, why: string): void {
    if (this.#isClosed) this.#end(operation).reject(closedError("unknown"));
    else if (operation.content.kind === "seal" && operation.deadlineTicks > this.#host.nowTicks) this.#again(operation);
    else this.#end(operation).reject(unknownError(why));
  }

  /** A seal may be asked for any number of times. Not at once: nothing is new before the next tick. */
  #again(operation: Operation): void {
    this.#sealsAgain.push(operation);
  }

  /** The log is sealed: what waits is not in it. */
  #endWaiting(sealedAt: LogIndex): void {
    for (const operation of [...this.#waiting.splice(0), ...this.#sealsAgain.splice(0)]) {
      const ended = this.#end(operation);
      if (operation.content.kind === "append") ended.reject(sealedError());
      else ended.resolve(appendedAt({ first: sealedAt, last: sealedAt }));
    }
  }
}

function closedError(outcome: "definite" | "unknown"): QuipuError {
  return new QuipuError("SHUTTING_DOWN", "the log is closed", { outcome });
}

function overloaded(why: string): QuipuError {
  return new QuipuError("OVERLOADED", why);
}
