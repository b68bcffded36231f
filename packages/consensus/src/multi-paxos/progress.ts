/**
 * How far one other member is, as its leader knows, and what may be sent to it now.
 *
 * - probe: it has not answered yet, or something sent to it was surely lost: it gets heartbeats until it answers one.
 * - replicate: entries are sent ahead of answers, within a window of messages and bytes.
 * - snapshot: what it needs is trimmed; nothing is sent but the word that it should fetch a snapshot.
 */
import { moved } from "../entries.ts";
import { InFlight } from "../in-flight.ts";
import type { LogIndex } from "../quantities.ts";

export class Progress {
  state: "probe" | "replicate" | "snapshot" = "probe";
  /** Known to be durable there, and right; never decreases. */
  match: LogIndex = 0 as LogIndex;
  /** match < next. Slots from here on have not been sent. */
  next: LogIndex;
  /** Heard from since the end of the last election round. */
  active = true;
  /** Highest barrier that it has echoed; never decreases. */
  barrier = 0;
  /** Highest commit position that was sent; what was lost of it comes again with the next heartbeat. */
  chosenSent: LogIndex = 0 as LogIndex;
  /**
   * Of the first heartbeat since the last check, and up to where slots had been sent before it: what an answer to it, or to a
   * later one, lacks is lost. -1: none.
   */
  checkNumber = -1;
  checkSent: LogIndex = 0 as LogIndex;
  /** Its place among the voters as a bit; 0: has no vote. */
  readonly bit: number;
  readonly #inFlight: InFlight = new InFlight();

  constructor(next: LogIndex, bit: number) {
    this.next = next;
    this.bit = bit;
  }

  maySend(messagesMax: number, bytesMax: number): boolean {
    if (this.state !== "replicate") return false;
    return this.#inFlight.hasRoom(messagesMax, bytesMax);
  }

  /** Slots up to `last` are on their way. */
  sent(last: LogIndex, bytes: number): void {
    this.next = moved(last, 1);
    this.#inFlight.sent(last, bytes);
  }

  accepted(match: LogIndex): void {
    if (match > this.match) this.match = match;
    if (this.next <= this.match) this.next = moved(this.match, 1);
    this.arrived(this.match);
  }

  /** What is there is on its way no more, durable or not. */
  arrived(received: LogIndex): void {
    this.#inFlight.arrived(received);
  }

  /** What was on its way is taken for lost; slots from `from` on are to be sent, again or at last. */
  replicateFrom(from: LogIndex): void {
    this.next = from > this.match ? from : moved(this.match, 1);
    this.#enter("replicate");
  }

  probe(): void {
    this.#enter("probe");
  }

  needsSnapshot(): void {
    this.#enter("snapshot");
  }

  #enter(state: Progress["state"]): void {
    this.state = state;
    this.#inFlight.clear();
  }
}
