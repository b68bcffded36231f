/**
 * A cell of front doors before one model store, on a network in virtual time. Doors crash, hang (SIGSTOP), refuse, lose
 * connections; bytes are in transit for a while, in order, and are lost with their connection or arrive after it.
 */
import type { Random } from "@quipu/core";
import type { ClientSocket, Endpoint, SocketEvents } from "@quipu/client";
import { RespRequestParser, RespWriter } from "@quipu/protocol";
import { writeBatchReply } from "./fake-server.ts";
import { ModelStore } from "./model-store.ts";
import type { VirtualClock } from "./virtual-clock.ts";

export const firstPort = 7001;

export class FakeCell {
  readonly store: ModelStore = new ModelStore();
  readonly doors: readonly FakeDoor[];
  /** What Q.CELL answers; undefined: nobody knows the command. */
  rows: readonly (readonly [string, string, number])[] | undefined = undefined;

  constructor(clock: VirtualClock, random: Random, count: number = 3) {
    this.store.lateAllowed = true;
    this.doors = Array.from({ length: count }, () => new FakeDoor(this, clock, random));
  }

  /** All doors, in an address. */
  get url(): string {
    return `quipu://:token@${this.doors.map((_, index) => `door:${firstPort + index}`).join(",")}`;
  }

  readonly connectSocket = (endpoint: Endpoint, events: SocketEvents): ClientSocket => {
    const door = this.doors[endpoint.port - firstPort];
    if (door === undefined) throw new Error(`no door ${endpoint.port}`);
    return door.connect(events);
  };

  heal(): void {
    for (const door of this.doors) door.heal();
  }
}

interface DoorConnection {
  readonly events: SocketEvents;
  readonly parser: RespRequestParser;
  /** Read while the door hung. */
  unread: Uint8Array[];
  open: boolean;
  /** When the last bytes of each direction arrive: the next are not earlier. */
  requestsDueMs: number;
  repliesDueMs: number;
}

export class FakeDoor {
  latencyMs = 1;
  /** Answered to each batch instead of applying it; with `applied:` before it, after applying it. */
  refusal: string | undefined = undefined;
  /** The batch of this count is answered with nonsense, not applied, and its connection is not read any more. */
  garbleAt: number | undefined = undefined;
  /** Batches received end their connection. */
  cutsOnBatch = false;
  /** Refuses the handshake. */
  refuseGreeting: string | undefined = undefined;
  /** Batches received, and connections made. */
  batches = 0;
  connections = 0;
  #up = true;
  #hangs = false;
  readonly #cell: FakeCell;
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #connections = new Set<DoorConnection>();

  constructor(cell: FakeCell, clock: VirtualClock, random: Random) {
    this.#cell = cell;
    this.#clock = clock;
    this.#random = random;
  }

  connect(events: SocketEvents): ClientSocket {
    this.connections++;
    const connection: DoorConnection = {
      events,
      parser: new RespRequestParser(),
      unread: [],
      open: true,
      requestsDueMs: 0,
      repliesDueMs: 0,
    };
    this.#clock.setTimer(this.#transitMs(), () => {
      if (!this.#up) return this.#cut(connection);
      this.#connections.add(connection);
      events.opened();
    });
    return {
      write: (bytes) => {
        if (!connection.open) return;
        const copy = bytes.slice();
        connection.requestsDueMs = this.#dueMs(connection.requestsDueMs);
        // Once written it may arrive even after its connection was given up.
        this.#clock.setTimer(connection.requestsDueMs - this.#clock.monotonicMs(), () =>
          this.#arrive(connection, copy),
        );
      },
      destroy: () => {
        if (connection.open) this.#cut(connection);
      },
    };
  }

  crash(): void {
    this.#up = false;
    this.#hangs = false;
    this.cutAll();
  }

  /** Every connection ends; the door stays. */
  cutAll(): void {
    for (const connection of this.#connections) this.#cut(connection);
    this.#connections.clear();
  }

  hang(): void {
    this.#hangs = true;
  }

  /** Up and reading again, what came meanwhile first. */
  heal(refusal?: string): void {
    this.#up = true;
    this.#hangs = false;
    this.refusal = refusal;
    for (const connection of this.#connections) {
      for (const bytes of connection.unread.splice(0)) this.#arrive(connection, bytes);
    }
  }

  #transitMs(): number {
    return this.latencyMs + this.#random.below(100) / 100;
  }

  #dueMs(lastDueMs: number): number {
    return Math.max(lastDueMs, this.#clock.monotonicMs() + this.#transitMs());
  }

  #cut(connection: DoorConnection): void {
    if (!connection.open) return;
    connection.open = false;
    this.#clock.setTimer(0, () => connection.events.closed(new Error("ECONNRESET")));
  }

  #arrive(connection: DoorConnection, bytes: Uint8Array): void {
    // A crash takes along what it had not read; what the client gave up may still be read.
    if (!this.#up || !this.#connections.has(connection)) return;
    if (this.#hangs) {
      connection.unread.push(bytes);
      return;
    }
    const writer = new RespWriter(3);
    connection.parser.feed(bytes);
    while (connection.parser.next() === "command") {
      const { parser } = connection;
      const args = Array.from({ length: parser.argumentCount }, (_, index) => parser.argumentText(index));
      this.#answer(args, writer);
      if (args[0] !== "Q.BATCH") continue;
      if (this.cutsOnBatch) this.#cut(connection);
      if (this.cutsOnBatch || this.batches === this.garbleAt) {
        this.#connections.delete(connection);
        break;
      }
    }
    const reply = writer.take().slice();
    connection.repliesDueMs = this.#dueMs(connection.repliesDueMs);
    this.#clock.setTimer(connection.repliesDueMs - this.#clock.monotonicMs(), () => {
      if (connection.open) connection.events.received(reply);
    });
  }

  #answer(args: readonly string[], writer: RespWriter): void {
    const { store, rows } = this.#cell;
    switch (args[0]) {
      case "HELLO":
        if (this.refuseGreeting === undefined) writer.simpleString("OK");
        else writer.error(this.refuseGreeting);
        return;
      case "Q.SESSION": {
        const session = store.openSession(Number(args[1]));
        writer.arrayHeader(2);
        writer.bulkText(session.id);
        writer.integer(session.expiresAtMs);
        return;
      }
      case "GET": {
        const value = store.values.get(args[1] ?? "");
        if (value === undefined) writer.null();
        else writer.bulkText(value.toString());
        return;
      }
      case "Q.BATCH":
        return this.#batch(args, writer);
      case "Q.CELL":
        if (rows === undefined) break;
        writer.arrayHeader(rows.length);
        for (const row of rows) {
          writer.arrayHeader(row.length);
          for (const column of row) writer.bulkText(String(column));
        }
        return;
      default:
        break;
    }
    writer.error(`ERR unknown command '${args[0]}'`);
  }

  #batch(args: readonly string[], writer: RespWriter): void {
    this.batches++;
    const { refusal } = this;
    if (this.cutsOnBatch) return;
    if (this.batches === this.garbleAt) return writer.simpleString("nonsense");
    if (refusal !== undefined && !refusal.startsWith("applied:")) return writer.error(refusal);
    const reply = this.#cell.store.batch(args[1] ?? "", Number(args[2]), Number(args[3]), args.slice(4));
    if (refusal !== undefined) writer.error(refusal.slice("applied:".length));
    else if (typeof reply === "string") writer.error(reply);
    else writeBatchReply(writer, reply);
  }
}
