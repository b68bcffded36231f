/**
 * How far one other member is, as its leader knows, and what may be sent to it now (etcd calls this flow control).
 *
 * - probe: where the logs meet is not known; one message at a time, until it is answered or a heartbeat is.
 * - replicate: entries are sent ahead of answers, within a window of messages and bytes.
 * - snapshot: what it needs is trimmed; nothing is sent but the word that it should fetch a snapshot.
 */
import { invariant } from "@quipu/core";
import { moved } from "../entries.ts";
import { InFlight } from "../in-flight.ts";
import type { LogIndex, Term } from "../quantities.ts";

export class Progress {
  state: "probe" | "replicate" | "snapshot" = "probe";
  /** Known to be durable there and equal to ours; never decreases. */
  match: LogIndex = 0 as LogIndex;
  /** match < next. Entries from here on have not been sent. */
  next: LogIndex;
  /** Heard from since the last check of the quorum. */
  active: boolean;
  /** Heard from between the last two checks: right after one, nobody had time to answer yet. */
  wasActive = false;
  /** Highest barrier that it has echoed; never decreases. */
  barrier = 0;
  /** Highest commit position that was sent; what was lost of it comes again with the next heartbeat. */
  commitSent: LogIndex = 0 as LogIndex;
  /** A heartbeat is on its way whose answer is worth a message, if something is outstanding: it may be lost. */
  looksForLoss = false;
  /** In probe: a message is on its way. */
  probing = false;
  /** In snapshot: the end of its log from which replication was tried in vain; the same end again is no news. */
  #triedIndex: LogIndex | undefined;
  #triedTerm: Term | undefined;
  /** In replicate: sent, ascending. */
  readonly #inFlight: InFlight = new InFlight();

  constructor(next: LogIndex, active: boolean) {
    this.next = next;
    this.active = active;
  }

  mayAppend(messagesMax: number, bytesMax: number): boolean {
    switch (this.state) {
      case "probe":
        return !this.probing;
      case "replicate":
        return this.#inFlight.hasRoom(messagesMax, bytesMax);
      case "snapshot":
        return false;
    }
  }

  /** Entries up to `last` were sent; `count` of them. */
  sent(count: number, bytes: number): void {
    if (this.state === "probe") {
      this.probing = true;
    } else if (count > 0) {
      this.next = moved(this.next, count);
      this.#inFlight.sent(moved(this.next, -1), bytes);
    }
  }

  /** The member holds everything up to `match`, durably. */
  accepted(match: LogIndex): void {
    if (match > this.match) this.match = match;
    if (this.state !== "replicate") {
      this.next = moved(this.match, 1);
      this.#enter("replicate");
    } else if (this.next <= this.match) {
      this.next = moved(this.match, 1);
    }
    this.#inFlight.arrived(this.match);
  }

  /** Whether a refusal of `rejected` tells something new. */
  concerns(rejected: LogIndex): boolean {
    switch (this.state) {
      case "probe":
        // That it lacks what it has acknowledged is not believed: the next heartbeat asks again.
        return rejected === this.next - 1 && rejected > this.match;
      case "replicate":
        return rejected > this.match && rejected < this.next;
      case "snapshot":
        return true; // The answer to every SnapshotNeeded: says where the member's log ends now.
    }
  }

  /** Starts looking for where the logs meet, from `from` on. */
  probeFrom(from: LogIndex): void {
    this.next = from > this.match ? from : moved(this.match, 1);
    this.#enter("probe");
  }

  /** It needs a snapshot and says that its log ends here: worth one try, until the end is another. */
  triesFrom(endIndex: LogIndex, endTerm: Term): boolean {
    if (this.#triedIndex === endIndex && this.#triedTerm === endTerm) return false;
    this.#triedIndex = endIndex;
    this.#triedTerm = endTerm;
    return true;
  }

  needsSnapshot(): void {
    this.#enter("snapshot");
  }

  #enter(state: Progress["state"]): void {
    invariant(this.match < this.next, `match ${this.match}, next ${this.next}`);
    this.state = state;
    this.probing = false;
    this.#inFlight.clear();
  }
}
