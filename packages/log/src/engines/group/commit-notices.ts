/**
 * Word of a new commit position, where it goes by itself: an AppendEntries without entries, or Chosen. One that has records follows
 * within the same turn more often than not and says the same, so the word waits for the end of the turn's work, and is
 * left out where that message came. Who waits for nothing in particular is told a little later, most often by the next
 * records. To a core this is a network that is slow, or loses a message that a later one makes needless.
 */
import type { Envelope, LogIndex, MemberId } from "@quipu/consensus";
import type { Clock } from "@quipu/core";
import type { CoreAdapter, CoreMessage } from "./core-adapter.ts";

/** Far below a heartbeat, and above the time between two records where there are many. */
const unhurriedMs = 2;

export type CommitWords<Message extends CoreMessage> = Pick<CoreAdapter<Message>, "commitSaid" | "saysOnlyCommit">;

export class CommitNotices<Message extends CoreMessage> {
  readonly #words: CommitWords<Message>;
  readonly #clock: Pick<Clock, "setTimer">;
  readonly #transmit: (envelope: Envelope<Message>) => void;
  /** At most one for each member: a later one says all that an earlier one did. */
  readonly #held: Map<MemberId, Envelope<Message>> = new Map();
  /** Up to where a member waits for the log: its own records, or an answer to a read. */
  readonly #awaited: Map<MemberId, LogIndex> = new Map();
  /** The highest commit position that was sent to a member. */
  readonly #told: Map<MemberId, LogIndex> = new Map();
  #cancelTimer: (() => void) | undefined;

  constructor(
    words: CommitWords<Message>,
    clock: Pick<Clock, "setTimer">,
    transmit: (envelope: Envelope<Message>) => void,
  ) {
    this.#words = words;
    this.#clock = clock;
    this.#transmit = transmit;
  }

  /** Sends at once, or holds back what is no more than a word of the commit position. */
  send(envelope: Envelope<Message>): void {
    const { to, message } = envelope;
    const commit = this.#words.commitSaid(message);
    if (commit !== undefined) {
      const isNews = commit > this.#toldTo(to);
      // Without news it asks something, and is wanted now.
      if (isNews && this.#words.saysOnlyCommit(message)) {
        this.#held.set(to, envelope);
        return;
      }
      this.#held.delete(to);
      if (isNews) this.#told.set(to, commit);
    }
    this.#transmit(envelope);
  }

  /** `member` has something to do once `index` is committed. */
  awaits(member: MemberId, index: LogIndex): void {
    if (index > (this.#awaited.get(member) ?? 0)) this.#awaited.set(member, index);
  }

  /** Nothing more arises now. */
  endOfWork(): void {
    for (const [to, envelope] of this.#held) {
      if ((this.#awaited.get(to) ?? 0) > this.#toldTo(to)) this.#release(to, envelope);
    }
    if (this.#held.size === 0 || this.#cancelTimer !== undefined) return;
    this.#cancelTimer = this.#clock.setTimer(unhurriedMs, () => {
      this.#cancelTimer = undefined;
      for (const [to, envelope] of this.#held) this.#release(to, envelope);
    });
  }

  close(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#held.clear();
  }

  #release(to: MemberId, envelope: Envelope<Message>): void {
    this.#held.delete(to);
    const commit = this.#words.commitSaid(envelope.message);
    if (commit !== undefined) this.#told.set(to, commit);
    this.#transmit(envelope);
  }

  #toldTo(member: MemberId): LogIndex {
    return this.#told.get(member) ?? (0 as LogIndex);
  }
}
