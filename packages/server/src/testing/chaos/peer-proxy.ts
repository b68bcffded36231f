/**
 * A proxy before one node's peer port, through which all others come to it. It knows who dials by the hello, which names its
 * sender in the clear, so that one address of a node, the same for all, gives a fault for every ordered pair of nodes.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { decodeHello, LinkFrameParser, linkKind } from "@quipu/protocol";

/** `cut`: connections end, and new ones too. `hole`: they stay and carry nothing, as when packets are dropped. */
export type LinkState = "open" | "cut" | "hole";

export interface LinkFault {
  /** What the dialler sends. */
  readonly out: LinkState;
  /** What comes back. */
  readonly back: LinkState;
  /** Each way. */
  readonly delayMs: number;
}

export const openLink: LinkFault = { out: "open", back: "open", delayMs: 0 };

export class PeerProxy {
  readonly #server: Server;
  readonly #targetPort: number;
  readonly #faults = new Map<string, LinkFault>();
  readonly #connections = new Set<ProxiedConnection>();

  private constructor(server: Server, targetPort: number) {
    this.#server = server;
    this.#targetPort = targetPort;
    server.on("connection", (socket: Socket) => this.#accept(socket));
  }

  static async start(port: number, targetPort: number): Promise<PeerProxy> {
    const server = createServer({ noDelay: true });
    const proxy = new PeerProxy(server, targetPort);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", resolve);
    });
    return proxy;
  }

  /** From now on for what `dialler` dials, present connections included. */
  set(dialler: string, fault: LinkFault): void {
    this.#faults.set(dialler, fault);
    for (const connection of this.#connections) if (connection.dialler === dialler) connection.obey(fault);
  }

  heal(): void {
    for (const dialler of this.#faults.keys()) this.set(dialler, openLink);
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) connection.end();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(socket: Socket): void {
    const connection: ProxiedConnection = new ProxiedConnection(socket, this.#targetPort, {
      faultOf: (dialler) => this.#faults.get(dialler) ?? openLink,
      ended: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
  }
}

interface ProxyOwner {
  faultOf(dialler: string): LinkFault;
  ended(): void;
}

class ProxiedConnection {
  dialler: string | undefined;
  readonly #owner: ProxyOwner;
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #out: Pipe;
  readonly #back: Pipe;

  constructor(near: Socket, targetPort: number, owner: ProxyOwner) {
    this.#owner = owner;
    this.#near = near;
    this.#far = connect({ port: targetPort, host: "127.0.0.1", noDelay: true });
    for (const socket of [this.#near, this.#far]) {
      socket.on("error", () => this.end());
      socket.on("close", () => this.end());
    }
    this.#out = new Pipe(this.#near, this.#far);
    this.#back = new Pipe(this.#far, this.#near);
    const parser = new LinkFrameParser();
    const sniff = (chunk: Buffer): void => {
      // The parser owns its chunk, and this one goes on to the target.
      parser.push(Uint8Array.from(chunk));
      if (!parser.next() && parser.fault === undefined) return;
      near.off("data", sniff);
      this.dialler = parser.kind === linkKind.hello ? decodeHello(parser.payload)?.name : undefined;
      if (this.dialler !== undefined) this.obey(this.#owner.faultOf(this.dialler));
    };
    // Before the pipe's listener, so that already the hello meets the fault.
    near.prependListener("data", sniff);
  }

  obey({ out, back, delayMs }: LinkFault): void {
    if (out === "cut" || back === "cut") return this.end();
    this.#out.set(out === "hole", delayMs);
    this.#back.set(back === "hole", delayMs);
  }

  end(): void {
    this.#near.destroy();
    this.#far.destroy();
    this.#owner.ended();
  }
}

/** One direction: keeps the order, whatever the delay. What a hole holds back comes when it ends, as TCP's repetitions do. */
class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #waiting: { readonly chunk: Buffer; readonly dueMs: number }[] = [];
  #isHole = false;
  #delayMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket) {
    this.#from = from;
    this.#to = to;
    from.on("data", (chunk: Buffer) => {
      this.#waiting.push({ chunk, dueMs: performance.now() + this.#delayMs });
      this.#flush();
    });
    to.on("drain", () => {
      if (!this.#isHole) from.resume();
    });
    from.on("close", () => clearTimeout(this.#timer));
  }

  set(isHole: boolean, delayMs: number): void {
    this.#isHole = isHole;
    this.#delayMs = delayMs;
    // Unread bytes fill the kernel's buffers, and the sender feels it, as on a real network.
    if (isHole) this.#from.pause();
    else this.#from.resume();
    this.#flush();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    for (;;) {
      const next = this.#waiting[0];
      if (next === undefined || this.#isHole) return;
      const leftMs = next.dueMs - performance.now();
      if (leftMs > 0) {
        this.#timer = setTimeout(() => this.#flush(), Math.ceil(leftMs));
        return;
      }
      this.#waiting.shift();
      if (!this.#to.write(next.chunk)) this.#from.pause();
    }
  }
}
