/** A TCP proxy in front of one server: what it does with connections and bytes is up to the test. */
import { connect, createServer, type Server, type Socket } from "node:net";

/** The server's end of a connection: its bytes pass, are held back until they pass again, or the connection is refused. */
export type ProxyMode = "pass" | "refuse" | "hold-requests" | "drop-answers";

export class Proxy {
  mode: ProxyMode = "pass";
  /** Session numbers of the ConnectRequests that came by, 0 for a new session. */
  readonly sessions: bigint[] = [];
  /** Code of the last operation that came by; 0: none. */
  lastOperation = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #waiting: { readonly operation: number; readonly resolve: () => void }[] = [];

  private constructor(target: string) {
    const port = Number(target.split(":")[1]);
    this.#server = createServer((client) => {
      client.on("error", () => client.destroy());
      if (this.mode === "refuse") return void client.destroy();
      const server = connect(port, "127.0.0.1");
      server.on("error", () => client.destroy());
      for (const socket of [client, server]) {
        this.#sockets.add(socket);
        socket.once("close", () => {
          this.#sockets.delete(socket);
          client.destroy();
          server.destroy();
        });
      }
      let isFirst = true;
      client.on("data", (chunk) => {
        // Length, version, last transaction and timeout stand in front of the session.
        if (isFirst && chunk.length >= 28) this.sessions.push(chunk.readBigInt64BE(20));
        if (!isFirst) this.#takeOperations(chunk);
        if (this.mode !== "hold-requests") server.write(chunk);
        isFirst = false;
      });
      server.on("data", (chunk) => {
        if (this.mode !== "drop-answers") client.write(chunk);
      });
    });
  }

  static async open(target: string): Promise<Proxy> {
    const proxy = new Proxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get endpoint(): string {
    const address = this.#server.address();
    return `127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }

  get connections(): number {
    return this.#sockets.size / 2;
  }

  /** Answers are dropped from the next operation of this code on; resolves when it has gone to the server. */
  loseAnswerTo(operation: number): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ operation, resolve }));
  }

  /** Ends every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** All passes again; connections that had lost something begin anew. */
  heal(): void {
    this.mode = "pass";
    this.cut();
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cut();
    await closed;
  }

  /** Requests are small here: a chunk has whole ones. */
  #takeOperations(chunk: Buffer): void {
    for (let at = 0; at + 12 <= chunk.length; at += 4 + chunk.readInt32BE(at)) {
      const operation = chunk.readInt32BE(at + 8);
      this.lastOperation = operation;
      if (this.mode === "hold-requests") continue;
      for (const waiting of this.#waiting.filter((each) => each.operation === operation)) {
        this.mode = "drop-answers";
        waiting.resolve();
      }
      this.#waiting = this.#waiting.filter((waiting) => waiting.operation !== operation);
    }
  }
}
