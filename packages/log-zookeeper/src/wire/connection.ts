/**
 * One TCP connection to one server, from the handshake on. Requests are answered in the order in which they were sent;
 * when it ends, those without an answer are lost, and may have been done.
 */
import { connect, type Socket } from "node:net";
import { JuteError, JuteReader, JuteWriter } from "./jute.ts";
import { authenticate, code, ping, type Request, requestId } from "./protocol.ts";

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** What a session is, to take it up again on another connection. */
export interface SessionState {
  /** 0: none yet. */
  readonly id: bigint;
  readonly password: Uint8Array;
  readonly timeoutMs: number;
}

/** No answer came. `sent`: it may have been done. */
export class Unanswered extends Error {
  override readonly name = "Unanswered";
  readonly sent: boolean;
  constructor(cause: string, sent: boolean) {
    super(cause);
    this.sent = sent;
  }
}

/** A refusal (`code` in protocol.ts): nothing was done. */
export type Reply<T> = { readonly done: true; readonly value: T } | { readonly done: false; readonly code: number };

export interface ConnectionOptions {
  readonly endpoint: Endpoint;
  readonly session: SessionState;
  /** The newest transaction that the session has seen; a server that lags behind it turns us away. */
  readonly lastSeen: bigint;
  /** `user:password`. */
  readonly credentials: string | undefined;
  /** For connecting, the handshake included. */
  readonly connectTimeoutMs: number;
  /** A request that is answered later than this ends the connection: nothing behind it can be answered either. */
  readonly answerTimeoutMs: number;
  readonly onOpen: (session: SessionState) => void;
  readonly onSeen: (transaction: bigint) => void;
  /** A watched node was changed, created or removed. */
  readonly onEvent: (path: string) => void;
  /** Once, whatever ended it. `sessionGone`: the session is over, too. */
  readonly onEnd: (cause: string, sessionGone: boolean) => void;
}

interface Pending {
  readonly sentAtMs: number;
  /** Throws JuteError. */
  readonly answer: (replyCode: number, body: JuteReader) => void;
  readonly reject: (reason: Unanswered) => void;
}

/** The largest answer is a list of some 100,000 names, or a value. */
const frameBytesMax = 32 * 1024 * 1024;
const requestIdMax = 0x7fff_ffff;

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  /** In the order in which they were sent. */
  readonly #pending = new Map<number, Pending>();
  readonly #connectTimer: NodeJS.Timeout;
  #beat: NodeJS.Timeout | undefined;
  #chunks: Buffer[] = [];
  #held = 0;
  #needed = 4;
  #nextId = 1;
  #isOpen = false;
  #ended = false;
  #heardAtMs = 0;
  #sentAtMs = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#socket = connect({ ...options.endpoint, noDelay: true });
    this.#connectTimer = setTimeout(
      () => this.end(`no session in ${options.connectTimeoutMs} ms`),
      options.connectTimeoutMs,
    );
    this.#socket.once("connect", () => this.#greet());
    this.#socket.on("data", (chunk: Buffer) => this.#take(chunk));
    this.#socket.once("error", (error) => this.end(error.message));
    this.#socket.once("close", () =>
      // A server without a quorum, or behind what we have seen, takes a connection and ends it.
      this.end(this.#isOpen ? "the connection ended" : "it ended the connection before there was a session"),
    );
  }

  send<T>({ operation, frame, decode }: Request<T>): Promise<Reply<T>> {
    if (this.#ended) return Promise.reject(new Unanswered("the connection ended", false));
    const id = this.#nextId;
    this.#nextId = id === requestIdMax ? 1 : id + 1;
    const sentAtMs = this.#write(operation, id, frame);
    return new Promise((resolve, reject) => {
      const answer = (replyCode: number, body: JuteReader): void =>
        resolve(replyCode === code.ok ? { done: true, value: decode(body) } : { done: false, code: replyCode });
      this.#pending.set(id, { sentAtMs, answer, reject });
    });
  }

  /** Idempotent. Requests without an answer are lost. */
  end(cause: string, sessionGone: boolean = false): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#connectTimer);
    clearInterval(this.#beat);
    this.#socket.destroy();
    this.#chunks = [];
    const { host, port } = this.#options.endpoint;
    const shown = `${host}:${port}: ${cause}`;
    const lost = [...this.#pending.values()];
    this.#pending.clear();
    this.#options.onEnd(shown, sessionGone);
    for (const { reject } of lost) reject(new Unanswered(shown, true));
  }

  /** ConnectRequest: protocol version, last transaction seen, timeout, session, its password, read-only. */
  #greet(): void {
    const { id, password, timeoutMs } = this.#options.session;
    const writer = new JuteWriter(4).int(0).long(this.#options.lastSeen).int(timeoutMs).long(id);
    const frame = writer.buffer(password).boolean(false).bytes();
    frame.writeInt32BE(frame.length - 4, 0);
    this.#socket.write(frame);
  }

  #write(operation: number, id: number, frame: Buffer): number {
    frame.writeInt32BE(frame.length - 4, 0);
    frame.writeInt32BE(id, 4);
    frame.writeInt32BE(operation, 8);
    this.#socket.write(frame);
    this.#sentAtMs = performance.now();
    return this.#sentAtMs;
  }

  #take(chunk: Buffer): void {
    this.#heardAtMs = performance.now();
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    if (this.#held < this.#needed) return;
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    let at = 0;
    this.#needed = 4;
    while (!this.#ended && bytes.length - at >= 4) {
      const size = bytes.readInt32BE(at);
      if (size < 0 || size > frameBytesMax) return this.end(`an answer of ${size} bytes; is this ZooKeeper?`);
      this.#needed = 4 + size;
      if (bytes.length - at < this.#needed) break;
      this.#takeFrame(bytes.subarray(at + 4, at + this.#needed));
      at += this.#needed;
      this.#needed = 4;
    }
    this.#chunks = at === bytes.length ? [] : [bytes.subarray(at)];
    this.#held = bytes.length - at;
  }

  #takeFrame(frame: Buffer): void {
    try {
      const reader = new JuteReader(frame);
      if (this.#isOpen) this.#takeReply(reader);
      else this.#takeWelcome(reader);
    } catch (error) {
      if (!(error instanceof JuteError)) throw error;
      this.end(`${error.message}; is this ZooKeeper?`);
    }
  }

  /** ConnectResponse: protocol version, agreed timeout (0: that session has expired), session, its password. */
  #takeWelcome(reader: JuteReader): void {
    reader.int();
    const timeoutMs = reader.int();
    const id = reader.long();
    const password = reader.buffer();
    if (timeoutMs <= 0) return this.end("the session has expired", true);
    clearTimeout(this.#connectTimer);
    this.#isOpen = true;
    this.#beat = setInterval(() => this.#watchOver(timeoutMs), timeoutMs / 6);
    const { credentials } = this.#options;
    if (credentials !== undefined) {
      const { operation, frame } = authenticate(credentials);
      this.#write(operation, requestId.authentication, frame);
    }
    this.#options.onOpen({ id, password, timeoutMs });
  }

  #takeReply(reader: JuteReader): void {
    const id = reader.int();
    const transaction = reader.long();
    const replyCode = reader.int();
    if (id === requestId.ping) return;
    if (id === requestId.event) return this.#takeEvent(reader);
    if (id === requestId.authentication) {
      if (replyCode !== code.ok) this.end("it refuses user and password");
      return;
    }
    const pending = this.#pending.get(id);
    if (pending === undefined) return this.end(`an answer to request ${id}, which was not sent`);
    const isExpired = replyCode === code.sessionExpired;
    if (isExpired || replyCode === code.sessionMoved) {
      // This request was refused, and nothing behind it will be done on this connection.
      this.#pending.delete(id);
      const cause = isExpired ? "the session has expired" : "the session is served elsewhere";
      pending.reject(new Unanswered(cause, false));
      return this.end(cause, isExpired);
    }
    pending.answer(replyCode, reader);
    this.#pending.delete(id);
    if (transaction > 0n) this.#options.onSeen(transaction);
  }

  /** WatcherEvent: type, state of the session, path. */
  #takeEvent(reader: JuteReader): void {
    reader.skip(8);
    this.#options.onEvent(reader.string());
  }

  /** Java's client pings after a third of the timeout and gives up after two thirds without a byte; so do we. */
  #watchOver(timeoutMs: number): void {
    const nowMs = performance.now();
    const oldest = this.#pending.values().next().value;
    if (nowMs - this.#heardAtMs > (timeoutMs * 2) / 3) {
      this.end(`not a byte in ${Math.round(nowMs - this.#heardAtMs)} ms`);
    } else if (oldest !== undefined && nowMs - oldest.sentAtMs > this.#options.answerTimeoutMs) {
      this.end(`no answer in ${Math.round(nowMs - oldest.sentAtMs)} ms`);
    } else if (nowMs - this.#sentAtMs > timeoutMs / 3 - timeoutMs / 12 || nowMs - this.#heardAtMs > timeoutMs / 3) {
      const { operation, frame } = ping();
      this.#write(operation, requestId.ping, frame);
    }
  }
}
