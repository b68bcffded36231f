/**
 * Frames that leave together. Everything that is sent to a node within one callback (heartbeats of all its groups,
 * entries, acknowledgements) becomes one write, and mostly one packet.
 */
import type { Socket } from "node:net";
import { linkHeaderBytes, writeLinkHeader } from "@quipu/protocol";

/** Smaller payloads are copied behind their headers; a larger one is worth a buffer of its own in the write. */
const copiedBytesMax = 8 * 1024;

export class FrameBatch {
  readonly #kinds: number[] = [];
  readonly #payloads: Uint8Array[] = [];
  #copiedBytes = 0;
  #bytes = 0;

  /** Of all frames added since the last write, headers included. */
  get bytes(): number {
    return this.#bytes;
  }

  add(kind: number, payload: Uint8Array): void {
    this.#kinds.push(kind);
    this.#payloads.push(payload);
    this.#copiedBytes += linkHeaderBytes + (payload.length <= copiedBytesMax ? payload.length : 0);
    this.#bytes += linkHeaderBytes + payload.length;
  }

  /** One write for all of them. They belong to the socket from here on. */
  writeTo(socket: Socket): void {
    const count = this.#kinds.length;
    if (count === 0) return;
    const copied = Buffer.allocUnsafe(this.#copiedBytes);
    // Corked, several buffers leave in one system call.
    if (this.#bytes > this.#copiedBytes) socket.cork();
    let start = 0;
    let end = 0;
    for (let index = 0; index < count; index++) {
      const payload = this.#payloads[index] as Uint8Array;
      writeLinkHeader(copied, end, payload.length, this.#kinds[index] as number);
      end += linkHeaderBytes;
      if (payload.length <= copiedBytesMax) {
        copied.set(payload, end);
        end += payload.length;
      } else {
        socket.write(copied.subarray(start, end));
        socket.write(payload);
        start = end;
      }
    }
    if (start < end) socket.write(start === 0 ? copied : copied.subarray(start, end));
    if (this.#bytes > this.#copiedBytes) socket.uncork();
    this.clear();
  }

  clear(): void {
    this.#kinds.length = 0;
    this.#payloads.length = 0;
    this.#copiedBytes = 0;
    this.#bytes = 0;
  }
}
