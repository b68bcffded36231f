/**
 * The outgoing side of a connection: replies are written into one buffer and leave in one write per turn.
 * What a reply needs beyond its tag waits here in the order of the replies.
 */
import type { Socket } from "node:net";
import type { QuipuError } from "@quipu/core";
import type { OutcomeValue } from "@quipu/counters";
import { type RespVersion, RespWriter } from "@quipu/protocol";
import type { ReplyContext } from "./connection-face.ts";
import { Fifo } from "./fifo.ts";
import type { RespDoorLimits } from "./limits.ts";
import { failureText } from "./refusal.ts";
import { formatByContext, silentFlag, writeOutcome } from "./reply-format.ts";
import type { DoorStatistics } from "./statistics.ts";

const allocate = (bytes: number): Uint8Array => Buffer.allocUnsafe(bytes);

export class Replies {
  readonly writer: RespWriter = new RespWriter(2, allocate);
  /** Unsent replies are more than may pile up: no new command is taken until the socket has drained. */
  isFull = false;
  readonly #socket: Socket;
  readonly #limits: RespDoorLimits;
  readonly #statistics: DoorStatistics;
  /** Replies that are not sent, or not yet: behind pending ones, or under CLIENT REPLY OFF. */
  readonly #scratch: RespWriter = new RespWriter(2);
  readonly #contexts = new Fifo<ReplyContext>();
  readonly #rides = new Fifo<Uint8Array>();

  constructor(socket: Socket, limits: RespDoorLimits, statistics: DoorStatistics) {
    this.#socket = socket;
    this.#limits = limits;
    this.#statistics = statistics;
  }

  get version(): RespVersion {
    return this.writer.version;
  }

  set version(version: RespVersion) {
    this.writer.version = version;
    this.#scratch.version = version;
  }

  /** Nothing stays half written if `write` throws. */
  writeNow(write: (reply: RespWriter) => void): void {
    writeWhole(this.writer, write);
  }

  /** Runs `write` for its effects; nobody gets the reply. */
  writeNowhere(write: (reply: RespWriter) => void): void {
    writeWhole(this.#scratch, write);
    this.#scratch.truncate(0);
  }

  /** Keeps the reply for {@link writeRide}. */
  writeLater(write: (reply: RespWriter) => void): void {
    writeWhole(this.#scratch, write);
    this.#rides.push(this.#scratch.take());
  }

  /** The oldest kept reply: its place is reached. */
  writeRide(): void {
    const bytes = this.#rides.shift();
    if (bytes !== undefined) this.writer.raw(bytes);
  }

  /** For the reply to the command that is about to be submitted. */
  pushContext(context: ReplyContext): void {
    this.#contexts.push(context);
  }

  answer(tag: number, outcome: OutcomeValue): void {
    if (outcome.type === "error") this.#statistics.errorReplies += 1;
    if (tag < formatByContext) {
      writeOutcome(this.writer, outcome, tag);
    } else if ((tag & formatByContext) === formatByContext) {
      const reply = tag >= silentFlag ? this.#scratch : this.writer;
      this.#contexts.shift()?.write(reply, outcome);
      if (tag >= silentFlag) this.#scratch.truncate(0);
    }
    if (this.writer.length > this.#limits.outputPauseBytes) this.send();
  }

  /** `isNewest`: the command was refused on the spot, before those that wait. */
  fail(tag: number, error: QuipuError, isNewest: boolean): void {
    this.#statistics.errorReplies += 1;
    const reply = tag >= silentFlag ? this.#scratch : this.writer;
    if ((tag & formatByContext) === formatByContext) {
      (isNewest ? this.#contexts.pop() : this.#contexts.shift())?.fail(reply, error);
    } else {
      reply.error(failureText(error));
    }
    if (tag >= silentFlag) this.#scratch.truncate(0);
  }

  /** Everything written so far, in one write. A reader that is too slow is disconnected, as Redis does. */
  send(): void {
    const { length } = this.writer;
    if (length === 0) return;
    const bytes = this.writer.take();
    if (this.#socket.destroyed) return;
    this.#statistics.outputBytes += length;
    this.#socket.write(bytes);
    const unsent = this.#socket.writableLength;
    if (unsent > this.#limits.outputBytesMax) {
      this.#statistics.slowReadersDisconnected += 1;
      this.#socket.destroy();
    } else if (unsent > this.#limits.outputPauseBytes) {
      this.isFull = true;
    }
  }
}

function writeWhole(writer: RespWriter, write: (reply: RespWriter) => void): void {
  const before = writer.length;
  try {
    write(writer);
  } catch (error) {
    writer.truncate(before);
    throw error;
  }
}
