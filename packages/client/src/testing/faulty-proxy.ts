/**
 * A proxy on loopback that loses connections: with a request unsent or torn, with a reply lost or torn.
 * It knows no protocol, so it stands before the fake server and before a real one alike.
 */
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from "node:net";
import type { Random } from "@quipu/core";

export class FaultyProxy {
  /** Chunks lost or torn on their way to the server, and on their way back. */
  requestsLost = 0;
  repliesLost = 0;
  /** Of `of` chunks, so many meet a fault. */
  faults = { chance: 0, of: 1 };
  readonly #server: Server;
  readonly #random: Random;
  readonly #direction: "both" | "replies";
  readonly #sockets = new Set<Socket>();

  /** `direction`: faults on both ways, or only behind the server, where the request was carried out already. */
  constructor(upstreamPort: number, random: Random, direction: "both" | "replies" = "both") {
    this.#random = random;
    this.#direction = direction;
    this.#server = createServer({ noDelay: true }, (client) => this.#join(client, upstreamPort));
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  get url(): string {
    return `quipu://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket, upstreamPort: number): void {
    const server = createConnection({ host: "127.0.0.1", port: upstreamPort, noDelay: true });
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        // What was passed on before still arrives.
        other.end();
        other.destroySoon();
      });
    }
    client.on("data", (chunk: Buffer) => {
      if (this.#direction === "replies") server.write(chunk);
      else if (!this.#pass(chunk, client, server)) this.requestsLost++;
    });
    server.on("data", (chunk: Buffer) => {
      if (!this.#pass(chunk, server, client)) this.repliesLost++;
    });
  }

  /** False: the connection ends here, with none or a part of the chunk passed on. */
  #pass(chunk: Buffer, from: Socket, to: Socket): boolean {
    if (!this.#random.chance(this.faults.chance, this.faults.of)) {
      to.write(chunk);
      return true;
    }
    if (this.#random.chance(1, 2)) to.write(chunk.subarray(0, this.#random.below(chunk.length)));
    from.destroy();
    return false;
  }
}
