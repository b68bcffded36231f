/** A bare RESP client for tests: what goes over the wire is what the test says, byte for byte. */
import { connect, type Socket } from "node:net";

/** Far more than any reply takes; a test that waits in vain fails and shows what it has. */
const waitMsMax = 8_000;

export class RawClient {
  readonly socket: Socket;
  #text = "";
  #isClosed = false;
  #changed: (() => void) | undefined;
  #onChunk: ((text: string) => void) | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => {
      const text = chunk.toString("latin1");
      this.#text += text;
      this.#onChunk?.(text);
      this.#changed?.();
    });
    socket.on("error", () => {});
    const ended = (): void => {
      this.#isClosed = true;
      this.#changed?.();
    };
    // "end": the server has closed; this side is half-open until the test ends it.
    socket.on("end", ended);
    socket.on("close", ended);
  }

  static async open(port: number): Promise<RawClient> {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new RawClient(socket);
  }

  send(text: string): void {
    this.socket.write(text, "latin1");
  }

  /** Inline commands. */
  lines(...commands: readonly string[]): void {
    this.send(commands.map((command) => `${command}\r\n`).join(""));
  }

  get received(): string {
    return this.#text;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Takes exactly as much as is expected, or what there is if it differs or the connection ends. */
  async take(expected: string): Promise<string> {
    await this.#until(() => this.#isClosed || this.#text.length >= expected.length || !expected.startsWith(this.#text));
    const taken = this.#text.slice(0, expected.length);
    this.#text = this.#text.slice(expected.length);
    return taken;
  }

  /** Takes everything up to a reply that ends so. */
  async takeThrough(end: string): Promise<string> {
    let isThere = this.#text.includes(end);
    // Only what came is looked at: searching many megabytes again with each chunk would take longer than their way here.
    let seen = this.#text.slice(-end.length);
    this.#onChunk = (text) => {
      seen += text;
      isThere ||= seen.includes(end);
      seen = seen.slice(-end.length);
    };
    await this.#until(() => this.#isClosed || isThere).finally(() => (this.#onChunk = undefined));
    const at = this.#text.indexOf(end);
    const length = at < 0 ? this.#text.length : at + end.length;
    const taken = this.#text.slice(0, length);
    this.#text = this.#text.slice(length);
    return taken;
  }

  /** One inline command and its reply, told by a marker behind it. */
  async ask(command: string): Promise<string> {
    this.lines(command, "ECHO end-of-reply");
    const reply = await this.takeThrough("$12\r\nend-of-reply\r\n");
    return reply.replace("$12\r\nend-of-reply\r\n", "");
  }

  async closed(): Promise<string> {
    await this.#until(() => this.#isClosed);
    return this.#text;
  }

  end(): void {
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  async #until(isDone: () => boolean): Promise<void> {
    const deadlineMs = performance.now() + waitMsMax;
    while (!isDone()) {
      if (performance.now() > deadlineMs)
        throw new Error(`no more came after ${JSON.stringify(this.#text.slice(-200))}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1_000);
        this.#changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}
