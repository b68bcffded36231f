/**
 * Bytes that are handed out, without an ArrayBuffer for each: small ones are written into one buffer and copied to the
 * next free place of a block. Allocating and collecting their buffers took most of the time of small frames.
 */
import { ByteWriter } from "@quipu/core";

/** A thousand small frames; whoever keeps one of them keeps its block, so not more. */
const blockBytes = 64 * 1024;

/** Larger ones get a buffer of their own, for they are worth one: no copy, and no block thrown away half empty. */
const smallBytesMax = 4096;

const scratch = new ByteWriter(smallBytesMax);
let block = new Uint8Array(blockBytes);
let used = 0;

/** A writer for up to `bytesMax` bytes; {@link finished} ends its use, before anyone asks for the next. */
export function writerFor(bytesMax: number): ByteWriter {
  if (bytesMax > smallBytesMax) return new ByteWriter(bytesMax);
  scratch.reset();
  return scratch;
}

/** What was written; nobody else has these bytes. */
export function finished(writer: ByteWriter): Uint8Array {
  const bytes = writer.bytes();
  if (writer !== scratch) return bytes;
  if (used + bytes.length > blockBytes) {
    block = new Uint8Array(blockBytes);
    used = 0;
  }
  const start = used;
  used += bytes.length;
  block.set(bytes, start);
  return block.subarray(start, used);
}
