/**
 * The stream between two nodes, cut into frames: `u32 length of the payload, u8 kind, payload`, little-endian.
 * docs/decisions/0010-peer-transport.md says what the kinds are for.
 */
import { crc32 } from "node:zlib";
import { invariant } from "@quipu/core";
import { decodeUtf8, encodeUtf8 } from "../utf8.ts";
import { peerFrameBytesMax } from "./peer-limits.ts";

/** Versions of the stream that this code speaks; the highest that both sides speak is used. */
export const linkVersionMin = 1;
export const linkVersionMax = 1;

/** Numbers are on the wire: never reuse one. Below 16: before both sides are authenticated. */
export const linkKind = {
  hello: 1,
  proof: 2,
  welcome: 3,
  /** Text: why the sender closes. */
  refusal: 4,
  /** The sender has become something else (another member, of a cell): dial again and be told. */
  renewal: 5,
  datagram: 16,
  control: 17,
  ping: 18,
  pong: 19,
} as const;

/** Length and kind. */
export const linkHeaderBytes = 5;

/** A hello is about 80 bytes; the rest is room for what later versions put behind it. */
export const helloBytesMax = 512;
/** SHA-256. */
export const proofBytes = 32;
/** A sentence, for a person. */
export const refusalBytesMax = 512;
/** JSON of a control message: names and numbers of one cell, never data. */
export const controlBytesMax: number = 16 * 1024;
/** A float64: the sender's time, which the answer repeats. */
export const beatBytes = 8;

const checksumBytes = 4;

/** Fewest and most bytes of the payload, by kind. */
const payloadBytes: ReadonlyMap<number, readonly [min: number, max: number]> = new Map([
  [linkKind.hello, [1, helloBytesMax]],
  [linkKind.proof, [proofBytes, proofBytes]],
  [linkKind.welcome, [0, 0]],
  [linkKind.refusal, [0, refusalBytesMax]],
  [linkKind.renewal, [0, 0]],
  [linkKind.datagram, [1, peerFrameBytesMax]],
  [linkKind.control, [checksumBytes, checksumBytes + controlBytesMax]],
  [linkKind.ping, [beatBytes, beatBytes]],
  [linkKind.pong, [beatBytes, beatBytes]],
]);

const firstOpenKind = 16;

/**
 * Why a frame is refused, judged by its header alone: before anything is allocated for it. Undefined: it is taken.
 * Hellos and proofs belong before the link is open, everything from 16 on after that.
 */
function headerFault(length: number, kind: number, isOpen: boolean): string | undefined {
  const range = payloadBytes.get(kind);
  if (range === undefined) return `a frame of unknown kind ${kind}`;
  if (length < range[0] || length > range[1]) return `a frame of kind ${kind} with ${length} bytes, limit ${range[1]}`;
  const isEither = kind === linkKind.refusal || kind === linkKind.renewal;
  if (!isEither && kind >= firstOpenKind !== isOpen) {
    return `a frame of kind ${kind} ${isOpen ? "on a link that is open already" : "before authentication"}`;
  }
  return undefined;
}

export function writeLinkHeader(into: Uint8Array, at: number, length: number, kind: number): void {
  into[at] = length;
  into[at + 1] = length >>> 8;
  into[at + 2] = length >>> 16;
  into[at + 3] = length >>> 24;
  into[at + 4] = kind;
}

const nothing = new Uint8Array(0);

/**
 * A payload that is a smaller part of its chunk than this is copied out: the receiver may keep it for long, and must not
 * keep a chunk of 64 KiB alive for 60 bytes. A larger part is a view.
 */
const viewPartMin = 1 / 4;

/**
 * Frames out of chunks, however the stream was cut: `push` a chunk, call {@link LinkFrameParser.next} until it is false,
 * then look at {@link LinkFrameParser.fault}. Whoever takes a payload owns it. No byte is copied more than once.
 */
export class LinkFrameParser {
  /** Both sides are authenticated. */
  isOpen = false;
  /** The frame at hand, after `next()` has returned true. */
  kind = 0;
  payload: Uint8Array = nothing;

  #chunk: Uint8Array = nothing;
  #position = 0;
  readonly #header = new Uint8Array(linkHeaderBytes);
  #headerLength = 0;
  /** A payload that more than one chunk carries. */
  #partial: Uint8Array | undefined;
  #partialLength = 0;
  #fault: string | undefined;

  /** Why nothing more can be read: the stream is not what it should be, and where the next frame begins is unknown. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** The parser owns the chunk from here on. Only when `next()` has returned false. */
  push(chunk: Uint8Array): void {
    invariant(this.#position === this.#chunk.length, `${this.#chunk.length - this.#position} bytes not read yet`);
    this.#chunk = chunk;
    this.#position = 0;
  }

  /** True: `kind` and `payload` are the next frame. */
  next(): boolean {
    if (this.#fault !== undefined) return this.#nothingMore();
    if (this.#partial !== undefined) return this.#fill(this.#partial);
    if (!this.#readHeader()) return this.#nothingMore();
    const header = this.#header;
    const length =
      ((header[0] as number) | ((header[1] as number) << 8) | ((header[2] as number) << 16)) +
      (header[3] as number) * 0x100_0000;
    const kind = header[4] as number;
    this.#fault = headerFault(length, kind, this.isOpen);
    if (this.#fault !== undefined) return this.#nothingMore();
    this.kind = kind;
    this.#headerLength = 0;
    const end = this.#position + length;
    if (end > this.#chunk.length) {
      this.#partial = new Uint8Array(length);
      this.#partialLength = 0;
      return this.#fill(this.#partial);
    }
    this.payload = this.#take(this.#position, end);
    this.#position = end;
    return true;
  }

  #take(start: number, end: number): Uint8Array {
    const { buffer, byteOffset } = this.#chunk;
    // Not subarray: of a Buffer it is a Buffer, which costs several times as much.
    const view = new Uint8Array(buffer, byteOffset + start, end - start);
    return end - start >= buffer.byteLength * viewPartMin ? view : view.slice();
  }

  #readHeader(): boolean {
    while (this.#headerLength < linkHeaderBytes && this.#position < this.#chunk.length) {
      this.#header[this.#headerLength++] = this.#chunk[this.#position++] as number;
    }
    return this.#headerLength === linkHeaderBytes;
  }

  #fill(partial: Uint8Array): boolean {
    const count = Math.min(partial.length - this.#partialLength, this.#chunk.length - this.#position);
    partial.set(this.#chunk.subarray(this.#position, this.#position + count), this.#partialLength);
    this.#partialLength += count;
    this.#position += count;
    if (this.#partialLength < partial.length) return this.#nothingMore();
    this.payload = partial;
    this.#partial = undefined;
    return true;
  }

  #nothingMore(): false {
    this.#chunk = nothing;
    this.#position = 0;
    this.payload = nothing;
    return false;
  }
}

/** Payload of a control message: CRC-32, JSON. Undefined: it is larger than {@link controlBytesMax}. */
export function encodeControl(message: unknown): Uint8Array | undefined {
  const text = encodeUtf8(JSON.stringify(message) ?? "null");
  if (text.length > controlBytesMax) return undefined;
  const payload = new Uint8Array(checksumBytes + text.length);
  payload.set(text, checksumBytes);
  new DataView(payload.buffer).setUint32(0, crc32(text), true);
  return payload;
}

/** `fault` where the payload is not what {@link encodeControl} gives. */
export function decodeControl(
  payload: Uint8Array,
): { readonly message: unknown; readonly fault?: undefined } | { readonly fault: string } {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const text = payload.subarray(checksumBytes);
  if (crc32(text) !== view.getUint32(0, true)) return { fault: "a control message with a wrong checksum" };
  try {
    return { message: JSON.parse(decodeUtf8(text)) as unknown };
  } catch {
    return { fault: "a control message that is not JSON" };
  }
}
