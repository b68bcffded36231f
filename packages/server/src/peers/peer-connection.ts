/** One TCP or TLS connection to a node, dialled or accepted: frames in and out, beats, and why it ended. */
import type { Socket } from "node:net";
import type { Clock } from "@quipu/core";
import { encodeUtf8, LinkFrameParser, linkHeaderBytes, linkKind, refusalBytesMax } from "@quipu/protocol";
import type { Flusher } from "./flusher.ts";
import { FrameBatch } from "./frame-batch.ts";
import { goodbyeMs, type PeerSettings } from "./limits.ts";
import { newTraffic, type Traffic } from "./peer-status.ts";

export interface ConnectionOwner {
  /** Every frame but beats. */
  onFrame(kind: number, payload: Uint8Array): void;
  /** Once. `reason` says what the other side or the network did; what we did ourselves, too. */
  /** The stream is not what it should be; to be answered by {@link PeerConnection.refuse}. */
  onFault(reason: string): void;
  onClosed(reason: string): void;
}

export interface ConnectionServices {
  readonly clock: Clock;
  readonly settings: PeerSettings;
  readonly flusher: Flusher;
}

const nothing = new Uint8Array(0);

export class PeerConnection {
  readonly socket: Socket;
  readonly startedMs: number;
  /** When the last bytes came. */
  heardMs: number;
  roundTripMs: number | undefined;
  /** Of this connection, until {@link PeerConnection.open} says whose it is. */
  traffic: Traffic = newTraffic();
  readonly #services: ConnectionServices;
  readonly #owner: ConnectionOwner;
  readonly #parser = new LinkFrameParser();
  readonly #batch = new FrameBatch();
  #isFlushWaiting = false;
  /** Beats since the last bytes came. Not milliseconds: while this process stands still nobody can be heard. */
  #silentBeats = 0;
  #isClosed = false;
  /** When we ended our side: nothing more is sent. */
  #endedMs: number | undefined;
  #socketError: string | undefined;

  constructor(socket: Socket, services: ConnectionServices, owner: ConnectionOwner) {
    this.socket = socket;
    this.#services = services;
    this.#owner = owner;
    this.startedMs = services.clock.monotonicMs();
    this.heardMs = this.startedMs;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
    socket.on("error", (error) => (this.#socketError ??= error.message));
    socket.on("close", () => this.#closed(this.#socketError ?? "the other side closed the connection"));
  }

  get isOpen(): boolean {
    return this.#parser.isOpen && !this.#isClosed && this.#endedMs === undefined;
  }

  /** What waits in this process; the operating system has some more. */
  get queuedBytes(): number {
    return this.#batch.bytes + this.socket.writableLength;
  }

  /** Both sides are authenticated. */
  open(traffic: Traffic): void {
    traffic.bytesSent += this.traffic.bytesSent;
    traffic.bytesReceived += this.traffic.bytesReceived;
    traffic.framesSent += this.traffic.framesSent;
    traffic.framesReceived += this.traffic.framesReceived;
    this.traffic = traffic;
    this.#parser.isOpen = true;
  }

  /** Never waits. The connection owns the payload. */
  post(kind: number, payload: Uint8Array = nothing): void {
    if (this.#isClosed || this.#endedMs !== undefined) return;
    this.#batch.add(kind, payload);
    this.traffic.framesSent++;
    this.traffic.bytesSent += linkHeaderBytes + payload.length;
    if (this.#isFlushWaiting) return;
    this.#isFlushWaiting = true;
    this.#services.flusher.soon(this);
  }

  /** As {@link PeerConnection.post}, unless so much waits already. One frame always fits. */
  offer(kind: number, payload: Uint8Array, queuedBytesMax: number): void {
    const queuedBytes = this.queuedBytes;
    if (queuedBytes > 0 && queuedBytes + payload.length > queuedBytesMax) this.traffic.framesDropped++;
    else this.post(kind, payload);
  }

  flush(): void {
    this.#isFlushWaiting = false;
    if (this.#isClosed) this.#batch.clear();
    else this.#batch.writeTo(this.socket);
  }

  /** Tells the other side why, and closes. */
  refuse(reason: string): void {
    this.post(linkKind.refusal, encodeUtf8(reason).subarray(0, refusalBytesMax));
    this.end(reason);
  }

  /** Sends what waits and closes. The owner hears of it at once. */
  end(reason: string): void {
    if (this.#isClosed) return;
    if (this.socket.connecting) {
      this.destroy(reason);
      return;
    }
    this.flush();
    this.#endedMs = this.#services.clock.monotonicMs();
    this.#closed(reason);
    this.socket.end();
    // The other side's last bytes are of no interest, but unread they would turn our last ones into a reset.
    this.socket.resume();
    const cancel = this.#services.clock.setTimer(goodbyeMs, () => this.socket.destroy());
    this.socket.on("close", cancel);
  }

  /** At once; what waits is lost. */
  destroy(reason: string): void {
    this.#closed(reason);
    this.socket.destroy();
  }

  /** Called at each beat, after what had come was read. */
  beat(nowMs: number): void {
    const { silenceMs, beatMs } = this.#services.settings;
    this.#silentBeats++;
    if (this.#silentBeats > silenceMs / beatMs) {
      this.destroy(`nothing heard for ${Math.round(nowMs - this.heardMs)} ms`);
      return;
    }
    const payload = new Uint8Array(8);
    new DataView(payload.buffer).setFloat64(0, nowMs, true);
    this.post(linkKind.ping, payload);
  }

  #received(chunk: Buffer): void {
    if (this.#isClosed) return;
    this.heardMs = this.#services.clock.monotonicMs();
    this.#silentBeats = 0;
    this.traffic.bytesReceived += chunk.length;
    const parser = this.#parser;
    parser.push(chunk);
    while (parser.next()) {
      this.traffic.framesReceived++;
      // Who pings and never reads must not fill our memory with answers.
      if (parser.kind === linkKind.ping)
        this.offer(linkKind.pong, parser.payload, this.#services.settings.queuedBytesMax);
      else if (parser.kind === linkKind.pong) this.#pong(parser.payload);
      else this.#owner.onFrame(parser.kind, parser.payload);
      if (this.#isClosed) return;
    }
    if (parser.fault !== undefined) this.#owner.onFault(`sent ${parser.fault}`);
  }

  #pong(payload: Uint8Array): void {
    const sentMs = new DataView(payload.buffer, payload.byteOffset, payload.length).getFloat64(0, true);
    const roundTripMs = this.heardMs - sentMs;
    if (roundTripMs >= 0) this.roundTripMs = roundTripMs;
  }

  #closed(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#owner.onClosed(reason);
  }
}
