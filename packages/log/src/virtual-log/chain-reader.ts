/** One reader of a virtual log: reads segment after segment and crosses over where one ends. */
import { lsn, type Lsn } from "@quipu/core";
import type { LogDelivery, Subscription } from "../loglet.ts";
import type { VirtualLogMutation } from "./mutation.ts";
import type { OpenSegment } from "./open-segment.ts";

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
