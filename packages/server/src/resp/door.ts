/** The RESP front door: listens, keeps the connections, lends them what they need, closes in order. */
import { createServer, type Server, type Socket } from "node:net";
import type { ReplicaDoor } from "@quipu/cluster";
import { type Clock, QuipuError, type Random } from "@quipu/core";
import type { Log } from "../log.ts";
import type { DoorAddress } from "./connection-face.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import { idempotencyRetentionMsDefault, type RespDoorLimits, respDoorLimits } from "./limits.ts";
import { DoorStatistics } from "./statistics.ts";

export interface RespDoorOptions {
  /** FLUSHDB and FLUSHALL are refused without it. */
  readonly allowFlush?: boolean;
  readonly idempotencyRetentionMs?: number;
  /** Quipu's own, for INFO. */
  readonly version?: string;
  readonly limits?: Partial<RespDoorLimits>;
  /** Of the cell; a single process has this one only. */
  readonly doors?: () => readonly DoorAddress[];
}

export interface RespDoorSetup {
  readonly replica: ReplicaDoor;
  readonly authenticator: { readonly required: boolean; accepts(token: string): boolean };
  readonly clock: Clock;
  readonly random: Random;
  readonly bind: string;
  /** 0: any free one. */
  readonly port: number;
  readonly options: RespDoorOptions;
  readonly log: Log;
}

export interface RespDoor {
  readonly port: number;
  readonly connectionCount: number;
  readonly statistics: DoorStatistics;
  /** Takes no more commands, answers those it has, closes the connections. */
  close(): Promise<void>;
}

const keepAliveDelayMs = 300_000;

/** How often connections that wait for an overloaded replica try again. */
const stallPollMs = 5;

/** Starts listening. Rejects with PORT_IN_USE or INVALID_CONFIGURATION. */
export async function startRespDoor(setup: RespDoorSetup): Promise<RespDoor> {
  const door = new Door(setup);
  await door.listen();
  return door;
}

class Door implements RespDoor, ConnectionOwner {
  readonly replica: ReplicaDoor;
  readonly clock: Clock;
  readonly random: Random;
  readonly bind: string;
  readonly limits: RespDoorLimits;
  readonly statistics: DoorStatistics = new DoorStatistics();
  readonly isFlushAllowed: boolean;
  readonly idempotencyRetentionMs: number;
  readonly version: string;
  readonly runId: string;
  readonly startedAtMs: number;
  readonly #setup: RespDoorSetup;
  readonly #server: Server;
  readonly #connections = new Map<number, Connection>();
  readonly #stalled = new Set<Connection>();
  #cancelStallPoll: (() => void) | undefined;
  #lastId = 0;
  #port: number;
  #closed: Promise<void> | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(setup: RespDoorSetup) {
    const { options, random, clock } = setup;
    this.#setup = setup;
    this.replica = setup.replica;
    this.clock = clock;
    this.random = random;
    this.bind = setup.bind;
    this.#port = setup.port;
    this.limits = { ...respDoorLimits, ...options.limits };
    this.isFlushAllowed = options.allowFlush ?? false;
    this.idempotencyRetentionMs = options.idempotencyRetentionMs ?? idempotencyRetentionMsDefault;
    this.version = options.version ?? "0.0.0";
    this.startedAtMs = clock.monotonicMs();
    this.runId = Array.from({ length: 5 }, () => random.uint32().toString(16).padStart(8, "0")).join("");
    this.#server = createServer(
      {
        // Without it, Nagle's algorithm holds back every second reply for 40 ms.
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: keepAliveDelayMs,
        // A client may end its side and still wait for replies.
        allowHalfOpen: true,
      },
      (socket) => this.#connected(socket),
    );
  }

  get port(): number {
    return this.#port;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  get isAuthenticationRequired(): boolean {
    return this.#setup.authenticator.required;
  }

  acceptsToken(token: string): boolean {
    return this.#setup.authenticator.accepts(token);
  }

  doors(): readonly DoorAddress[] {
    return this.#setup.options.doors?.() ?? [{ name: "", host: this.bind, port: this.#port }];
  }

  connections(): Iterable<Connection> {
    return this.#connections.values();
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (error: NodeJS.ErrnoException) => reject(this.#listenError(error)));
      this.#server.listen({ host: this.bind, port: this.#setup.port }, resolve);
    });
    this.#server.removeAllListeners("error");
    this.#server.on("error", (error) => this.#setup.log.error({ error: error.message }, "the RESP listener failed"));
    const address = this.#server.address();
    if (typeof address === "object" && address !== null) this.#port = address.port;
  }

  #listenError(error: NodeJS.ErrnoException): QuipuError {
    const where = `${this.bind}:${this.#setup.port}`;
    if (error.code === "EADDRINUSE") {
      return new QuipuError("PORT_IN_USE", `another process listens on ${where} (RESP)`, { cause: error });
    }
    return new QuipuError("INVALID_CONFIGURATION", `cannot listen on ${where} (RESP): ${error.message}`, {
      cause: error,
    });
  }

  #connected(socket: Socket): void {
    if (this.#closed !== undefined) {
      socket.destroy();
      return;
    }
    if (this.#connections.size >= this.limits.connectionsMax) {
      this.statistics.connectionsRefused += 1;
      socket.on("error", () => {});
      socket.write("-ERR max number of clients reached\r\n");
      socket.destroySoon();
      return;
    }
    this.#lastId += 1;
    this.statistics.connectionsReceived += 1;
    this.#connections.set(this.#lastId, new Connection(this, socket, this.#lastId));
  }

  connectionClosed(connection: Connection): void {
    this.#connections.delete(connection.client.id);
    this.#stalled.delete(connection);
    if (this.#connections.size === 0) this.#onEmpty?.();
  }

  connectionStalled(connection: Connection): void {
    this.#stalled.add(connection);
    this.#cancelStallPoll ??= this.clock.setTimer(stallPollMs, () => {
      this.#cancelStallPoll = undefined;
      const stalled = [...this.#stalled];
      this.#stalled.clear();
      for (const each of stalled) each.resume();
    });
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections.values()) connection.closeWhenAnswered();
    if (this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        const cancel = this.clock.setTimer(this.limits.closeWaitMs, resolve);
        this.#onEmpty = () => {
          cancel();
          resolve();
        };
      });
    }
    for (const connection of this.#connections.values()) connection.destroy();
    this.#cancelStallPoll?.();
    await closed;
  }
}
