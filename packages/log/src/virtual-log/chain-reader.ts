/** One reader of a virtual log: reads segment after segment and crosses over where one ends. */
import { lsn, type Lsn } from "@quipu/core";
import type { LogDelivery, Subscription } from "../loglet.ts";
import type { VirtualLogMutation } from "./mutation.ts";
import type { OpenSegment } from "./open-segment.ts";

/** Looks come about once a second. */
const looksBeforeGap = 5;

export class ChainReader implements Subscription {
  /** The segments as they are now; the owner changes the list in place or through a getter. */
  readonly #segments: () => readonly OpenSegment[];
  readonly #onDelivery: (delivery: LogDelivery) => void;
  readonly #onClose: (reader: ChainReader) => void;
  /** Everything below was delivered or is trimmed. */
  #next: Lsn;
  #segment: OpenSegment | undefined;
  #subscription: Subscription | undefined;
  #closed = false;
  /** Where it stood at the last look, and since how many looks. */
  #lookedAt = 0;
  #looks = 0;
  readonly #mutation: VirtualLogMutation | undefined;

  constructor(
    segments: () => readonly OpenSegment[],
    from: Lsn,
    onDelivery: (delivery: LogDelivery) => void,
    onClose: (reader: ChainReader) => void,
    mutation: VirtualLogMutation | undefined,
  ) {
    this.#segments = segments;
    this.#next = from;
    this.#onDelivery = onDelivery;
    this.#onClose = onClose;
    this.#mutation = mutation;
  }

  /**
   * Called now and then. A sealed segment takes nobody in any more: a member that its group left out, or never let in, waits
   * for what will not come. Who has waited for long is told of a gap, as soon as another one has the state.
   */
  look(storedElsewhere: Lsn): void {
    const isWaiting = this.#next === this.#lookedAt;
    this.#lookedAt = this.#next;
    const { end } = this.#segment ?? {};
    const mayPass = end !== undefined && end > this.#next && storedElsewhere >= end - 1;
    this.#looks = isWaiting && mayPass ? this.#looks + 1 : 0;
    if (end === undefined || this.#looks < looksBeforeGap) return;
    this.#looks = 0;
    this.#subscription?.close();
    this.#next = end;
    this.#onDelivery({ type: "gap", trimmedUpTo: lsn(end - 1) });
    this.follow();
  }

  /** What this reader waits for lies in that segment, or in a later one. */
  get next(): Lsn {
    return this.#next;
  }

  close(): void {
    this.#closed = true;
    this.#subscription?.close();
    this.#onClose(this);
  }

  /** Subscribes where the next position is, if that is no longer, or not yet, the right segment. */
  follow(): void {
    while (!this.#closed) {
      const isEarly = this.#mutation === "reader-crosses-early" && this.#segment !== undefined;
      const segment = this.#segments().find(({ end }) => end === undefined || (!isEarly && end > this.#next));
      if (segment === undefined || segment === this.#segment) return;
      this.#subscription?.close();
      this.#segment = segment;
      // Whole segments were trimmed away under this reader, or before it came; or are not kept on this node.
      const elsewhere = segment.isHere ? undefined : segment.end;
      const begin = elsewhere ?? segment.base;
      if (begin > this.#next) {
        this.#next = begin;
        if (!isEarly) this.#onDelivery({ type: "gap", trimmedUpTo: lsn(begin - 1) });
        if (this.#isClosed()) return;
      }
      if (elsewhere !== undefined) continue;
      // One that is open and not kept here is waited for: this node will have a part in its successor.
      if (segment.isHere) this.#subscription = segment.read(this.#next, (delivery) => this.#deliver(delivery));
      return;
    }
  }

  #deliver(delivery: LogDelivery): void {
    const upTo = delivery.type === "gap" ? delivery.trimmedUpTo : delivery.first + delivery.records.length - 1;
    this.#next = lsn(upTo + 1);
    this.#onDelivery(delivery);
    if (this.#next === this.#segment?.end) this.follow();
  }

  /** Asked anew after a call out, which may have closed this reader. */
  #isClosed(): boolean {
    return this.#closed;
  }
}
