/** A quipu server as a child process that may be killed and started again on the same data: demo, bench, tests. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";

export interface ChildServerOptions {
  readonly dataDirectory: string;
  /** Further arguments of `quipu start`. */
  readonly extraArguments?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** Longer than any start of a test's data; a server that hangs must not hang the test for ever. */
const startTimeoutMs = 30_000;

/** From `src/testing` and `dist/testing` alike. */
const launcher = fileURLToPath(new URL("../../bin/quipu.js", import.meta.url));

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
    const server = new ChildServer(options);
    // Fixed from the start, so that a client finds the server again where it was.
    server.#respPort = await freePort();
    do server.#httpPort = await freePort();
    while (server.#httpPort === server.#respPort);
    await server.restart();
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

  /** Starts a process on the same data and ports; resolves when it takes requests. */
  async restart(): Promise<void> {
    const { dataDirectory, extraArguments = [], environment = {} } = this.#options;
    const ports = ["--resp-port", String(this.#respPort), "--http-port", String(this.#httpPort)];
    const child = spawn(
      process.execPath,
      [launcher, "start", "--data", path.resolve(dataDirectory), ...ports, ...extraArguments],
      { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...environment } },
    );
    this.#child = child;
    let stdout = "";
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr = (stderr + chunk).slice(-100_000)));
    const exited = once(child, "close").then(([code, signal]): Exit => ({ code, signal, stdout, stderr }) as Exit);
    this.#exited = exited;
    const ready = new Promise<void>((resolve) => {
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
        stdout = (stdout + chunk).slice(-100_000);
        if (readyPattern.test(stdout)) resolve();
      });
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => (timer = setTimeout(() => resolve("late"), startTimeoutMs)));
    const first = await Promise.race([ready, exited, late]).finally(() => clearTimeout(timer));
    if (first === undefined) return;
    child.kill("SIGKILL");
    const reason = first === "late" ? `not ready after ${startTimeoutMs} ms` : `ended with code ${first.code}`;
    throw new Error(`quipu start: ${reason}\n${stdout}${stderr}`);
  }

  /** Ends the process by `signal` and waits until it is gone. SIGKILL leaves it no time for anything. */
  async stop(signal: "SIGKILL" | "SIGTERM" | "SIGINT"): Promise<Exit> {
    if (this.#child === undefined || this.#exited === undefined) throw new Error("the server was never started");
    this.#child.kill(signal);
    return this.#exited;
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
