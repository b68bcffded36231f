/**
 * The leader's side of forwarded operations: proposes each stream's numbers once and in order, and remembers the last
 * answers for those who did not get them. What it remembers is of one term. It is kept when the leadership ends, so that
 * this member can still say what it did not propose: it will never lead in that term again.
 */
import type { MemberId, Term } from "@quipu/consensus";
import type { Forward, ForwardReply } from "@quipu/protocol";
import { lifeOf } from "./forwarder.ts";
import type { Answer, GroupHost, LocalInput } from "./group-host.ts";

type Outcome = ForwardReply["outcome"];

/** The newest stream of one life of a sender: an older one was given up, and nobody waits for an answer to it. */
interface Stream {
  readonly id: number;
  /** Every number below was answered. */
  expected: number;
  /** Answers to the numbers right below `expected`. */
  readonly answers: Map<number, Outcome>;
  /** Came before the ones below them. */
  readonly early: Map<number, Forward>;
}

/** Of one sender within a term: this life, and earlier ones whose messages may be late. */
const livesOfSenderMax = 16;

export class ForwardReceiver {
  readonly #host: GroupHost;
  /** The last term in which this member led. */
  #ledTerm: Term | undefined;
  /** Of `#ledTerm`: one for each life of a sender, the one last heard of last. */
  readonly #streams: Map<MemberId, Stream[]> = new Map();
  /** There were more streams in `#ledTerm`. */
  #hasForgotten = false;

  constructor(host: GroupHost) {
    this.#host = host;
  }

  /** Before the first operation of a term can be proposed. */
  onLeadership(): void {
    const { role, term } = this.#host.leadership;
    if (role !== "leader" || term === this.#ledTerm) return;
    this.#ledTerm = term;
    this.#streams.clear();
    this.#hasForgotten = false;
  }

  /** Inside of a job. */
  onForward(from: MemberId, forward: Forward): void {
    const { role, term } = this.#host.leadership;
    // Of another term this member knows nothing, and so says nothing.
    if (forward.term !== this.#ledTerm) return;
    // Its sender's own limit: more might not fit the write-ahead log.
    if (forwardBytes(forward) > this.#host.settings.appendBytesMax) return;
    const leads = role === "leader" && term === this.#ledTerm;
    const stream = this.#find(from, forward, leads);
    if (stream === undefined) return;
    const { sequence } = forward;
    const answered = stream.answers.get(sequence);
    const anyOrder = this.#host.mutation === "forward-order-ignored";
    if (answered !== undefined) this.#reply(from, forward, answered);
    if (answered !== undefined || (sequence < stream.expected && !anyOrder)) return;
    if (!leads) {
      this.#refuseForGood(from, forward);
      return;
    }
    if (sequence !== stream.expected && !anyOrder) {
      this.#keep(stream, forward);
      this.#reply(from, forward, { kind: "outOfOrder", expected: stream.expected });
      return;
    }
    let next: Forward | undefined = forward;
    while (next !== undefined) {
      stream.early.delete(next.sequence);
      this.#propose(from, next, stream);
      // Not taken: the sender tries again, and so with those behind.
      if (stream.expected <= next.sequence) return;
      next = stream.early.get(stream.expected);
    }
  }

  /** What does not fit is sent again. */
  #keep(stream: Stream, forward: Forward): void {
    const { forwardWindow, forwardEarlyBytesMax } = this.#host.settings;
    if (forward.sequence >= stream.expected + forwardWindow) return;
    let bytes = forwardBytes(forward);
    for (const other of stream.early.values()) bytes += forwardBytes(other);
    if (bytes <= forwardEarlyBytesMax) stream.early.set(forward.sequence, forward);
  }

  #find(from: MemberId, forward: Forward, leads: boolean): Stream | undefined {
    const streams = this.#streams.get(from) ?? [];
    const place = streams.findIndex(({ id }) => lifeOf(id) === lifeOf(forward.stream));
    const known = streams[place];
    if (known !== undefined && place < streams.length - 1) streams.push(...streams.splice(place, 1));
    if (known?.id === forward.stream) return known;
    // Given up by its sender, which has turned to this leader anew since.
    if (known !== undefined && known.id > forward.stream) return undefined;
    if (!leads) {
      // Never heard of in a term that is over, so nothing of it was proposed.
      if (known !== undefined || !this.#hasForgotten) this.#refuseForGood(from, forward);
      return undefined;
    }
    if (forward.sequence !== 1 && this.#host.mutation !== "forward-order-ignored") {
      this.#reply(from, forward, { kind: "outOfOrder", expected: 1 });
      return undefined;
    }
    if (streams.length === 0 && this.#streams.size >= this.#host.settings.forwardSendersMax) return undefined;
    const made: Stream = { id: forward.stream, expected: 1, answers: new Map(), early: new Map() };
    if (known !== undefined) streams.pop();
    // What an earlier life sent too early is not waited for.
    for (const earlier of streams) earlier.early.clear();
    streams.push(made);
    if (streams.length > livesOfSenderMax) {
      streams.shift();
      this.#hasForgotten = true;
    }
    this.#streams.set(from, streams);
    return made;
  }

  #propose(from: MemberId, forward: Forward, stream: Stream): void {
    const { operation, sequence } = forward;
    const answer = (outcome: Outcome): void => {
      if (outcome.kind === "proposed") this.#host.awaits(from, outcome.last);
      stream.expected = Math.max(stream.expected, sequence + 1);
      stream.answers.set(sequence, outcome);
      stream.answers.delete(sequence - this.#host.settings.forwardWindow);
      this.#reply(from, forward, outcome);
    };
    const { member, refusal } = this.#host;
    if (operation.kind === "append" && refusal !== undefined) {
      answer({ kind: "refused", reason: "overloaded", leader: member });
      return;
    }
    const makeInput = (request: number): LocalInput =>
      operation.kind === "seal" ? { type: "seal", request } : { type: "propose", request, records: operation.records };
    this.#host.ask(makeInput, (effect) => {
      const outcome = outcomeOf(effect, member);
      if (outcome.kind === "refused" && outcome.reason === "dropped") {
        // Not answered for good: the number is still the next, for as long as this member leads.
        const { role } = this.#host.leadership;
        const leader = role === "leader" ? member : this.#otherLeader();
        this.#reply(from, forward, { ...outcome, leader });
      } else {
        answer(outcome);
      }
    });
  }

  /** This member leads no more in that term, and never will again. */
  #refuseForGood(from: MemberId, forward: Forward): void {
    this.#reply(from, forward, { kind: "refused", reason: "dropped", leader: this.#otherLeader() });
  }

  #otherLeader(): MemberId | undefined {
    const { leader } = this.#host.leadership;
    return leader === this.#host.member ? undefined : leader;
  }

  #reply(to: MemberId, { group, stream, sequence }: Forward, outcome: Outcome): void {
    this.#host.hub.send(to, { type: "forwardReply", group, stream, sequence, outcome });
  }
}

function forwardBytes({ operation }: Forward): number {
  return operation.kind === "seal" ? 0 : operation.records.reduce((sum, record) => sum + record.length, 0);
}

function outcomeOf(answer: Answer, leader: MemberId): Outcome {
  if (answer.type === "proposed") {
    return { kind: "proposed", term: answer.term, first: answer.first, last: answer.last };
  }
  return { kind: "refused", reason: answer.type === "reply" ? answer.reason : "refused", leader };
}
