/** A server of the model store on real loopback sockets, which misbehaves as its script says. */
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { RespRequestParser, RespWriter } from "@quipu/protocol";
import { type BatchReply, ModelStore, type OperationReply } from "./model-store.ts";

/**
 * What happens to one Q.BATCH. `drop…`: the connection ends before or after applying, or in mid-reply;
 * `mute`: this and all that came with it is applied, nothing is answered, then the connection ends;
 * `hold`: applied, and no answer on this connection until release(); an error text: answered instead of applying; with `applied:` before it, after applying.
 */
export type Fault =
  | "none"
  | "drop-before"
  | "drop-after"
  | "drop-in-reply"
  | "mute"
  | "hold"
  | `error:${string}`
  | `applied:${string}`;

export class FakeServer {
  readonly store: ModelStore = new ModelStore();
  /** Decides the fate of each Q.BATCH; replaced by tests. */
  fault: () => Fault = () => "none";
  /** Refuses the handshake with this error text. */
  refuse: string | undefined = undefined;
  refuseSessions: string | undefined = undefined;
  /** So many of the next batches are applied and answered with nonsense. */
  garble = 0;
  readonly commands: string[][] = [];
  connections = 0;
  drops = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Writes what has been held back, one for each connection that waits. */
  readonly #held = new Set<() => void>();
  #watchers: (() => void)[] = [];

  constructor() {
    this.#server = createServer({ noDelay: true }, (socket) => this.#serve(socket));
  }

  async start(port = 0): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, "127.0.0.1", resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `quipu://127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    this.dropAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  dropAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Sends the answers that `hold` kept back. */
  release(): void {
    for (const answer of this.#held) answer();
    this.#held.clear();
  }

  /** Batches received so far, repetitions included. */
  get batches(): number {
    return this.commands.filter((command) => command[0] === "Q.BATCH").length;
  }

  /** Resolves once `condition` holds, checked after each event at the server. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#watchers.push(resolve));
  }

  #changed(): void {
    for (const watcher of this.#watchers.splice(0)) watcher();
  }

  #serve(socket: Socket): void {
    this.connections++;
    this.#sockets.add(socket);
    const parser = new RespRequestParser();
    const writer = new RespWriter(3);
    // Set once the connection is to end; `mute` goes on applying until the end of the chunk.
    let ending: "no" | "at once" | "after the chunk" = "no";
    // Replies come in order, so behind one that is held back there are none.
    let silent = false;
    const answer = (): boolean => socket.write(writer.take());
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#sockets.delete(socket);
      this.#held.delete(answer);
      this.#changed();
    });
    socket.on("data", (chunk: Buffer) => {
      if (ending !== "no") return;
      parser.feed(chunk);
      while (ending !== "at once" && parser.next() === "command") {
        const args: string[] = [];
        for (let index = 0; index < parser.argumentCount; index++) args.push(parser.argumentText(index));
        this.commands.push(args);
        const before = writer.length;
        const fault = this.#answer(args, writer);
        if (silent) writer.truncate(before);
        if (fault === "none") continue;
        if (fault === "hold") {
          this.#held.add(answer);
          continue;
        }
        silent = true;
        const half = before + Math.ceil((writer.length - before) / 2);
        writer.truncate(fault === "drop-in-reply" ? half : before);
        ending = fault === "mute" ? "after the chunk" : "at once";
      }
      if (ending !== "no") {
        this.drops++;
        socket.end(writer.take());
        socket.destroySoon();
      } else if (!this.#held.has(answer)) answer();
      this.#changed();
    });
  }

  #answer(args: readonly string[], writer: RespWriter): Fault {
    switch (args[0]) {
      case "HELLO":
        if (this.refuse !== undefined) writer.error(this.refuse);
        else {
          writer.mapHeader(1);
          writer.bulkText("server");
          writer.bulkText("fake");
        }
        return "none";
      case "Q.SESSION": {
        if (this.refuseSessions !== undefined) {
          writer.error(this.refuseSessions);
          return "none";
        }
        const session = this.store.openSession(Number(args[1]));
        writer.arrayHeader(2);
        writer.bulkText(session.id);
        writer.integer(session.expiresAtMs);
        return "none";
      }
      case "GET": {
        const value = this.store.values.get(args[1] ?? "");
        if (value === undefined) writer.null();
        else writer.bulkText(value.toString());
        return "none";
      }
      case "Q.BATCH":
        return this.#batch(args, writer);
      default:
        writer.error(`ERR unknown command '${args[0]}'`);
        return "none";
    }
  }

  #batch(args: readonly string[], writer: RespWriter): Fault {
    const fault = this.fault();
    if (fault === "drop-before") return fault;
    if (fault.startsWith("error:")) {
      writer.error(fault.slice("error:".length));
      return "none";
    }
    const reply = this.store.batch(args[1] ?? "", Number(args[2]), Number(args[3]), args.slice(4));
    if (fault.startsWith("applied:")) {
      writer.error(fault.slice("applied:".length));
      return "none";
    }
    if (this.garble > 0) {
      this.garble--;
      writer.simpleString("nonsense");
    } else if (typeof reply === "string") writer.error(reply);
    else writeBatchReply(writer, reply);
    return fault;
  }
}

/** The answer of Q.BATCH. */
export function writeBatchReply(writer: RespWriter, reply: Exclude<BatchReply, string>): void {
  writer.arrayHeader(3);
  writer.bulkText(reply.position);
  writer.integer(reply.replayed ? 1 : 0);
  writer.arrayHeader(reply.replies.length);
  for (const each of reply.replies) writeReply(writer, each);
}

function writeReply(writer: RespWriter, reply: OperationReply): void {
  if (reply === null) writer.null();
  else if (reply instanceof Error) writer.error(reply.message);
  else if (typeof reply === "bigint") writer.integer(reply);
  else if (typeof reply === "string") {
    if (reply === "OK") writer.simpleString(reply);
    else writer.bulkText(reply);
  } else {
    writer.arrayHeader(reply.length);
    for (const each of reply) writeReply(writer, each);
  }
}
