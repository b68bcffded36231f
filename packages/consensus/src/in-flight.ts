/** What is on its way to one member and not answered yet: bounds how much more may be sent to it (etcd calls this inflights). */
import type { LogIndex } from "./quantities.ts";

interface Message {
  /** Of its entries. */
  readonly last: LogIndex;
  readonly bytes: number;
}

/** Answered messages wait until there are so many, and leave the list together: cheap, and no memory to speak of. */
const answeredKeptMax = 64;

export class InFlight {
  /** Sent, ascending. */
  #messages: Message[] = [];
  /** How many at its front are answered by now: to take each away by itself was an eighth of a step. */
  #answered = 0;
  #bytes = 0;

  /** Whether one more message may be sent. */
  hasRoom(messagesMax: number, bytesMax: number): boolean {
    return this.#messages.length - this.#answered < messagesMax && this.#bytes < bytesMax;
  }

  sent(last: LogIndex, bytes: number): void {
    this.#messages.push({ last, bytes });
    this.#bytes += bytes;
  }

  /** Everything up to `index` has come. */
  arrived(index: LogIndex): void {
    for (; this.#answered < this.#messages.length; this.#answered += 1) {
      const { last, bytes } = this.#messages[this.#answered] as Message;
      if (last > index) break;
      this.#bytes -= bytes;
    }
    if (this.#answered < answeredKeptMax) return;
    this.#messages = this.#messages.slice(this.#answered);
    this.#answered = 0;
  }

  /** What was on its way is not waited for. */
  clear(): void {
    this.#messages = [];
    this.#answered = 0;
    this.#bytes = 0;
  }
}
