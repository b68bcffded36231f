/** Registers and blobs: the bytes behind "QLV", version 1, and a CRC-32 of the key and of them. */
import { crc32 } from "node:zlib";
import { notOurs } from "./wire.ts";

const magic = Buffer.from([0x51, 0x4c, 0x56, 1]);
/** Magic and checksum. */
export const envelopeBytes = 8;

export function wrap(key: string, bytes: Uint8Array): Uint8Array {
  const wrapped = Buffer.alloc(envelopeBytes + bytes.length);
  wrapped.set(magic);
  wrapped.writeUInt32LE(crc32(bytes, crc32(key)), magic.length);
  wrapped.set(bytes, envelopeBytes);
  return wrapped;
}

/** Throws LOG_CORRUPT, naming the key, for anything that {@link wrap} does not make for it. */
export function unwrap(key: string, wrapped: Uint8Array): Uint8Array {
  const buffer = Buffer.from(wrapped.buffer, wrapped.byteOffset, wrapped.length);
  const bytes = buffer.subarray(envelopeBytes);
  const isWhole = buffer.length >= envelopeBytes && buffer.subarray(0, magic.length).equals(magic);
  if (isWhole && buffer.readUInt32LE(magic.length) === crc32(bytes, crc32(key))) return bytes;
  throw notOurs(key, "it holds no value of Quipu's, or a damaged one");
}
