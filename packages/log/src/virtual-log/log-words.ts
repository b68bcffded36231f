/**
 * How a virtual log goes on above a state: which segment, and that one's own words. Written beside states in stores and
 * snapshots, so the first byte names the format.
 *
 * Layout: u8 format, engine and parameters of the segment (length and UTF-8), the segment's words (length and bytes).
 */
import { ByteReader, ByteWriter, DecodeError } from "@quipu/core";
import type { LogletName } from "../loglet.ts";

const format = 2;

export interface LogWords extends LogletName {
  readonly words: Uint8Array;
}

export function encodeLogWords({ engine, parameters, words }: LogWords): Uint8Array {
  const encoder = new TextEncoder();
  const writer = new ByteWriter();
  writer.u8(format);
  writer.bytesWithLength(encoder.encode(engine));
  writer.bytesWithLength(encoder.encode(parameters));
  writer.bytesWithLength(words);
  return writer.copy();
}

/** Undefined where the bytes are not that. */
export function decodeLogWords(bytes: Uint8Array): LogWords | undefined {
  const reader = new ByteReader();
  reader.reset(bytes);
  const decoder = new TextDecoder("utf8", { fatal: true });
  try {
    if (reader.u8() !== format) return undefined;
    const engine = decoder.decode(reader.bytes());
    const parameters = decoder.decode(reader.bytes());
    const words = reader.bytes().slice();
    return reader.remaining === 0 ? { engine, parameters, words } : undefined;
  } catch (error) {
    if (error instanceof DecodeError || error instanceof TypeError) return undefined;
    throw error;
  }
}
