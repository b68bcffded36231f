/** The effects of one step, in order. All that one step puts on disk goes into one persist. */
import type { Effect, Entry, Envelope, HardState, LogStart, ReplyReason, RequestId } from "./contract.ts";
import type { LogIndex, MemberId } from "./quantities.ts";

/** The persist of the step under way; handed out, it does not change any more. */
export interface OpenPersist<Message> {
  readonly type: "persist";
  readonly token: number;
  hardState: HardState | undefined;
  restart: LogStart | undefined;
  trim: LogStart | undefined;
  truncateFrom: LogIndex | undefined;
  append: readonly Entry[];
  readonly sendAfter: Envelope<Message>[];
}

const noEntries: readonly Entry[] = [];

export class Outbox<Message> {
  #effects: Effect<Message>[] = [];
  #persist: OpenPersist<Message> | undefined;
  #tokens = 0;

  /** This step's persist; there is one from here on. It stands where it was first asked for. */
  persist(): OpenPersist<Message> {
    if (this.#persist === undefined) {
      this.#tokens += 1;
      this.#persist = {
        type: "persist",
        token: this.#tokens,
        hardState: undefined,
        restart: undefined,
        trim: undefined,
        truncateFrom: undefined,
        append: noEntries,
        sendAfter: [],
      };
      this.#effects.push(this.#persist);
    }
    return this.#persist;
  }

  persistAppend(entries: readonly Entry[]): void {
    const persist = this.persist();
    persist.append = persist.append.length === 0 ? entries : [...persist.append, ...entries];
  }

  /** Leaves at once. */
  send(to: MemberId, message: Message): void {
    this.#effects.push({ type: "send", envelope: { to, message } });
  }

  /** Leaves when everything persisted so far, this step included, is durable. */
  sendAfter(to: MemberId, message: Message): void {
    this.persist().sendAfter.push({ to, message });
  }

  reply(request: RequestId, reason: ReplyReason, leader: MemberId | undefined): void {
    this.#effects.push({ type: "reply", request, reason, leader });
  }

  push(effect: Effect<Message>): void {
    this.#effects.push(effect);
  }

  /** Token of this step's persist, if it has one. */
  get openToken(): number | undefined {
    return this.#persist?.token;
  }

  /** Ends the step. */
  take(): readonly Effect<Message>[] {
    const effects = this.#effects;
    this.#effects = [];
    this.#persist = undefined;
    return effects;
  }
}
