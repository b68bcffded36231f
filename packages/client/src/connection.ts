/** One connection: handshake, then replies handed to who expects them, in order. Knows nothing of batches. */
import { QuipuError } from "@quipu/core";
import { appendCommand, ReplyError, type ReplyValue, RespReplyParser, RespWriter } from "@quipu/protocol";
import { type Address, type Endpoint, endpointName } from "./endpoints.ts";
import type { ClientPorts, ClientSocket } from "./ports.ts";
import { replyErrorCode, replyQuipuError } from "./reply-errors.ts";

/** Who waits for one or several replies. */
export interface Expectation {
  /** Takes a reply; true: that was the last one it waits for. */
  receive(reply: ReplyValue): boolean;
  /** The connection ended before. */
  lost(cause: QuipuError): void;
}

export interface ConnectionEvents {
  /** The server has agreed to RESP3 and to the token. */
  ready(): void;
  /** Exactly once, last; who waits for replies has been told. */
  lost(cause: QuipuError): void;
}

export interface ConnectionLimits {
  /** Connecting and the handshake together. */
  readonly connectTimeoutMs: number;
  /** A reply is due and nothing came for so long. */
  readonly silenceTimeoutMs: number;
}

export class Connection {
  readonly #ports: ClientPorts;
  readonly #limits: ConnectionLimits;
  readonly #events: ConnectionEvents;
  readonly #socket: ClientSocket;
  readonly #parser = new RespReplyParser();
  /** Who waits for the next replies, the first first. */
  readonly #expected: Expectation[] = [];
  #cause: QuipuError | undefined = undefined;
  #closed = false;
  #heardAtMs: number;
  #cancelTimer: () => void;

  constructor(
    endpoint: Endpoint,
    address: Address,
    ports: ClientPorts,
    limits: ConnectionLimits,
    events: ConnectionEvents,
  ) {
    this.#ports = ports;
    this.#limits = limits;
    this.#events = events;
    this.#heardAtMs = ports.clock.monotonicMs();
    this.#cancelTimer = ports.clock.setTimer(limits.connectTimeoutMs, () => this.#give("no answer to the connection"));
    this.#socket = ports.connectSocket(endpoint, {
      opened: () => this.#greet(address),
      received: (bytes) => this.#receive(bytes),
      closed: (cause) => this.#close(cause, endpoint),
    });
  }

  /** Sends commands whose replies the expectations take, in order. */
  send(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  expect(expectation: Expectation): void {
    // Silence is counted from when a reply became due.
    if (this.#expected.length === 0) this.#heardAtMs = this.#ports.clock.monotonicMs();
    this.#expected.push(expectation);
  }

  /** Ends the connection; `lost` follows with `cause`. */
  destroy(cause: QuipuError): void {
    this.#cause ??= cause;
    this.#socket.destroy();
  }

  #greet(address: Address): void {
    const authentication = address.token === undefined ? [] : ["AUTH", address.user, address.token];
    const writer = new RespWriter();
    appendCommand(writer, ["HELLO", "3", ...authentication]);
    this.expect({ receive: (reply) => this.#greeted(reply), lost: () => undefined });
    this.send(writer.take());
  }

  #greeted(reply: ReplyValue): boolean {
    if (reply instanceof ReplyError) {
      // An unknown first word (LOADING …) refuses nothing for good.
      const passing = replyErrorCode(reply) === "INDOUBT";
      this.destroy(passing ? new QuipuError("CONNECTION_LOST", reply.text) : replyQuipuError(reply));
      return true;
    }
    this.#watchSilence();
    this.#events.ready();
    return true;
  }

  #receive(bytes: Uint8Array): void {
    if (this.#closed || this.#cause !== undefined) return;
    this.#heardAtMs = this.#ports.clock.monotonicMs();
    this.#parser.feed(bytes);
    for (;;) {
      const event = this.#parser.next();
      if (event === "more") return;
      if (event === "error") return this.#give(this.#parser.errorText ?? "broken replies");
      if (event === "push") continue;
      const expectation = this.#expected[0];
      if (expectation === undefined) return this.#give("a reply that nobody asked for");
      if (expectation.receive(this.#parser.value)) this.#expected.shift();
      if (this.#closed || this.#cause !== undefined) return;
    }
  }

  #watchSilence(): void {
    this.#cancelTimer();
    const { clock } = this.#ports;
    const waitMs = this.#limits.silenceTimeoutMs;
    const check = (): void => {
      const silentMs = this.#expected.length === 0 ? 0 : clock.monotonicMs() - this.#heardAtMs;
      if (silentMs >= waitMs) this.#give(`no reply for ${waitMs} ms`);
      else this.#cancelTimer = clock.setTimer(waitMs - silentMs, check);
    };
    this.#cancelTimer = clock.setTimer(waitMs, check);
  }

  #give(reason: string): void {
    this.destroy(new QuipuError("CONNECTION_LOST", reason));
  }

  #close(cause: Error | undefined, endpoint: Endpoint): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTimer();
    const text = `the connection to ${endpointName(endpoint)} ended${cause === undefined ? "" : `: ${cause.message}`}`;
    const loss = this.#cause ?? new QuipuError("CONNECTION_LOST", text, { cause });
    for (const expectation of this.#expected.splice(0)) expectation.lost(loss);
    this.#events.lost(loss);
  }
}
