/** The time in a UUIDv7 (RFC 9562 §5.7): its first 48 bits are milliseconds since the Unix epoch. */

const textLength = 36;
const versionPlace = 14;
const dash = 45;
const digitSeven = 55;

/** Milliseconds, or null where [start, end) is no UUIDv7 in text form. */
export function timeOfUuid7(bytes: Uint8Array, start: number, end: number): number | null {
  if (end - start !== textLength || bytes[start + versionPlace] !== digitSeven) return null;
  let timeMs = 0;
  for (let at = 0; at < textLength; at++) {
    const byte = bytes[start + at] as number;
    if (at === 8 || at === 13 || at === 18 || at === 23) {
      if (byte !== dash) return null;
      continue;
    }
    const digit = hexDigit(byte);
    if (digit < 0) return null;
    if (at < 13) timeMs = timeMs * 16 + digit;
  }
  return timeMs;
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 0x20;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
