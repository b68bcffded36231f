/** The least of a Redis client: one request at a time, no retries, so that every outcome is known for what it is. */
import { connect, type Socket } from "node:net";

/** What a server answers: a text, a number, nothing, an error, or a row of these. */
export type RawReply = string | number | null | RawError | readonly RawReply[];

export class RawError {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  /** Surely nothing was done: every error word but this one means that. */
  get isDefinite(): boolean {
    return !this.text.startsWith("INDOUBT");
  }
}

/** The connection ended, or there was no answer in time: what was asked may have been done. */
export class RawLoss extends Error {}

/** A node that hangs must not hang its clients for ever. */
const answerMsMax = 10_000;

export class RawConnection {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #waiting: { resolve: (reply: RawReply) => void; reject: (error: RawLoss) => void } | undefined;
  #isLost = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("close", () => this.#lose("the connection ended"));
  }

  /** Rejects with RawLoss. */
  static async open(port: number): Promise<RawConnection> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.on("error", (error) => reject(new RawLoss(error.message)));
    });
    return new RawConnection(socket);
  }

  /** One request on a connection of its own. */
  static async askOnce(port: number, ...words: readonly string[]): Promise<RawReply> {
    const connection = await RawConnection.open(port);
    try {
      return await connection.ask(...words);
    } finally {
      connection.close();
    }
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  /** Rejects with RawLoss. */
  ask(...words: readonly string[]): Promise<RawReply> {
    return new Promise((resolve, reject) => {
      if (this.#isLost) return reject(new RawLoss("the connection has ended"));
      const timer = setTimeout(() => this.#lose(`no answer within ${answerMsMax} ms`), answerMsMax);
      this.#waiting = {
        resolve: (reply) => {
          clearTimeout(timer);
          resolve(reply);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      this.#socket.write(
        `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`,
      );
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #lose(why: string): void {
    this.#isLost = true;
    this.#socket.destroy();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(new RawLoss(why));
  }

  #receive(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    const parsed = parseReply(this.#received, 0);
    if (parsed === undefined) return;
    this.#received = this.#received.subarray(parsed.end);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(parsed.reply);
  }
}

interface Parsed {
  readonly reply: RawReply;
  readonly end: number;
}

/** RESP2; undefined: there is more to come. */
function parseReply(bytes: Buffer, at: number): Parsed | undefined {
  const lineEnd = bytes.indexOf("\r\n", at);
  if (lineEnd < 0) return undefined;
  const line = bytes.toString("utf8", at + 1, lineEnd);
  const next = lineEnd + 2;
  switch (String.fromCharCode(bytes[at] as number)) {
    case "+":
      return { reply: line, end: next };
    case "-":
      return { reply: new RawError(line), end: next };
    case ":":
      return { reply: Number(line), end: next };
    case "$":
      return parseBulk(bytes, Number(line), next);
    case "*":
      return parseArray(bytes, Number(line), next);
    default:
      throw new Error(`a reply that is none: ${JSON.stringify(line)}`);
  }
}

function parseBulk(bytes: Buffer, length: number, at: number): Parsed | undefined {
  if (length < 0) return { reply: null, end: at };
  const end = at + length;
  return bytes.length < end + 2 ? undefined : { reply: bytes.toString("utf8", at, end), end: end + 2 };
}

function parseArray(bytes: Buffer, count: number, at: number): Parsed | undefined {
  if (count < 0) return { reply: null, end: at };
  const replies: RawReply[] = [];
  let end = at;
  for (let index = 0; index < count; index++) {
    const item = parseReply(bytes, end);
    if (item === undefined) return undefined;
    replies.push(item.reply);
    end = item.end;
  }
  return { reply: replies, end };
}
