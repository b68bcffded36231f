/** A quipu server as a child process that may be killed and started again on the same data: local cells, demo, bench, tests. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";

export interface ChildServerOptions {
  readonly dataDirectory: string;
  /** Free ones where they are not given. */
  readonly respPort?: number;
  readonly httpPort?: number;
  /** Runs instead of the `quipu` command: a node with other ports, for tests of faults. */
  readonly launcher?: readonly string[];
  /** A node of a cell is ready only with a majority. */
  readonly startTimeoutMs?: number;
  /** Further arguments of `quipu start`. */
  readonly extraArguments?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** Longer than any start of a test's data; a server that hangs must not hang the test for ever. */
const startTimeoutMsDefault = 30_000;
/** Of what a process prints, for the message when something is wrong. */
const outputCharactersKept = 100_000;

/** From `src/local-cell` and `dist/local-cell` alike. */
const quipuLauncher = fileURLToPath(new URL("../../bin/quipu.js", import.meta.url));

/** What the first line on standard output of `quipu start` tells. */
const readyPattern = /^quipu \S+ is ready: RESP \S+:(\d+), HTTP \S+:(\d+)/m;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class ChildServer {
  readonly #options: ChildServerOptions;
  #child: ChildProcess | undefined;
  #exited: Promise<Exit> | undefined;
  #respPort = 0;
  #httpPort = 0;

  private constructor(options: ChildServerOptions) {
    this.#options = options;
  }

  static async start(options: ChildServerOptions): Promise<ChildServer> {
    const server = await ChildServer.prepare(options);
    await server.restart();
    return server;
  }

  /** Chooses the ports; {@link restart} starts the process. */
  static async prepare(options: ChildServerOptions): Promise<ChildServer> {
    const server = new ChildServer(options);
    // Fixed from the start, so that a client finds the server again where it was.
    server.#respPort = options.respPort ?? (await freePort());
    do server.#httpPort = options.httpPort ?? (await freePort());
    while (server.#httpPort === server.#respPort);
    return server;
  }

  get respPort(): number {
    return this.#respPort;
  }

  get httpUrl(): string {
    return `http://127.0.0.1:${this.#httpPort}`;
  }

  get url(): string {
    return `quipu://127.0.0.1:${this.#respPort}`;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when the present process has ended, whatever ended it. */
  get exited(): Promise<Exit> {
    if (this.#exited === undefined) throw new Error("the server was never started");
    return this.#exited;
  }

  /** Starts a process on the same data and ports; resolves when it takes requests. */
  async restart(): Promise<void> {
    const { child, exited, output } = this.#spawn();
    const timeoutMs = this.#options.startTimeoutMs ?? startTimeoutMsDefault;
    const ready = new Promise<void>((resolve) => {
      child.stdout?.on("data", () => {
        if (readyPattern.test(output.stdout)) resolve();
      });
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => (timer = setTimeout(() => resolve("late"), timeoutMs)));
    const first = await Promise.race([ready, exited, late]).finally(() => clearTimeout(timer));
    if (first === undefined) return;
    child.kill("SIGKILL");
    const reason = first === "late" ? `not ready after ${timeoutMs} ms` : `ended with code ${first.code}`;
    throw new Error(`quipu start: ${reason}\n${output.stdout}${output.stderr}`);
  }

  #spawn(): { child: ChildProcess; exited: Promise<Exit>; output: { stdout: string; stderr: string } } {
    const { dataDirectory, extraArguments = [], environment = {}, launcher = [quipuLauncher] } = this.#options;
    const ports = ["--resp-port", String(this.#respPort), "--http-port", String(this.#httpPort)];
    const words = ["start", "--data", path.resolve(dataDirectory), ...ports, ...extraArguments];
    const child = spawn(process.execPath, [...launcher, ...words], {
      // The channel tells the child when its parent is gone: it stops in order then, and is nobody's orphan.
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      env: { ...process.env, ...environment },
      // A group of its own: Ctrl-C in the terminal is for the parent, who stops its children in order.
      detached: true,
    });
    // Else the channel would keep the parent from ending.
    child.channel?.unref();
    this.#child = child;
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name]?.setEncoding("utf8").on("data", (chunk: string) => {
        output[name] = (output[name] + chunk).slice(-outputCharactersKept);
      });
    }
    const exited = once(child, "close").then(([code, signal]) => ({ code, signal, ...output }) as Exit);
    this.#exited = exited;
    return { child, exited, output };
  }

  /** Ends the process by `signal` and waits until it is gone. SIGKILL leaves it no time for anything. */
  async stop(signal: "SIGKILL" | "SIGTERM" | "SIGINT"): Promise<Exit> {
    if (this.#child === undefined || this.#exited === undefined) throw new Error("the server was never started");
    this.#child.kill(signal);
    return this.#exited;
  }

  /** SIGSTOP, SIGCONT and the like: the process goes on. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** A command for a test's launcher; resolves when it has answered. Rejects where the process ends before. */
  async tell(command: object): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.isRunning) throw new Error("the server does not run");
    const answered = once(child, "message");
    const ended = this.exited.then(({ code }) => Promise.reject(new Error(`the server ended with code ${code}`)));
    // Whichever loses the race must not be an unhandled rejection.
    ended.catch(() => undefined);
    answered.catch(() => undefined);
    child.send(command, () => undefined);
    await Promise.race([answered, ended]);
  }

  /** For cleaning up, also from a signal handler: no waiting. */
  killNow(): void {
    this.#child?.kill("SIGKILL");
  }
}

/**
 * A port that nobody listens on, below the range from which the system takes ports for outgoing connections
 * (32768 on Linux): else a client that reconnects while the server is down could take the server's own port.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const candidate = 10_000 + randomInt(20_000);
    if (await canListen(candidate)) return candidate;
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}
