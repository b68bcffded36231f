/** UTF-8 in pure TypeScript: pure packages have no TextEncoder. Lone surrogates become U+FFFD, as there. */

/** Bytes that `text` takes in UTF-8. */
export function utf8Length(text: string): number {
  const units = text.length;
  let bytes = units;
  for (let index = 0; index < units; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    if (unit < 0x800) bytes += 1;
    else {
      bytes += 2;
      // A pair takes four bytes for its two units; counted as three for the first and one for the second.
      if (isHighSurrogate(unit) && index + 1 < units && isLowSurrogate(text.charCodeAt(index + 1))) index++;
    }
  }
  return bytes;
}

/** Writes `text` from `at`; `into` has room for {@link utf8Length}. Returns the offset behind it. */
export function writeUtf8(text: string, into: Uint8Array, at: number): number {
  const units = text.length;
  let to = at;
  for (let index = 0; index < units; index++) {
    let point = text.charCodeAt(index);
    if (point < 0x80) {
      into[to++] = point;
      continue;
    }
    if (point < 0x800) {
      into[to++] = 0xc0 | (point >> 6);
    } else {
      const low = index + 1 < units ? text.charCodeAt(index + 1) : 0;
      if (isHighSurrogate(point) && isLowSurrogate(low)) {
        index++;
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
        into[to++] = 0xf0 | (point >> 18);
        into[to++] = 0x80 | ((point >> 12) & 0x3f);
      } else {
        if (isHighSurrogate(point) || isLowSurrogate(point)) point = 0xfffd;
        into[to++] = 0xe0 | (point >> 12);
      }
      into[to++] = 0x80 | ((point >> 6) & 0x3f);
    }
    into[to++] = 0x80 | (point & 0x3f);
  }
  return to;
}

export function encodeUtf8(text: string): Uint8Array {
  const bytes = new Uint8Array(utf8Length(text));
  writeUtf8(text, bytes, 0);
  return bytes;
}

/** Text of [start, end). Every byte that belongs to no well-formed sequence becomes U+FFFD; never throws. */
export function decodeUtf8(bytes: Uint8Array, start: number = 0, end: number = bytes.length): string {
  let text = "";
  let at = start;
  while (at < end) {
    const first = bytes[at] as number;
    if (first < 0x80) {
      text += String.fromCharCode(first);
      at++;
      continue;
    }
    const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    const point = at + length <= end ? codePoint(bytes, at, length) : -1;
    text += point < 0 ? "\ufffd" : String.fromCodePoint(point);
    at += point < 0 ? 1 : length;
  }
  return text;
}

/** Smallest code point that needs this many bytes; what is encoded longer is malformed. */
const smallestOfLength = [0, 0, 0x80, 0x800, 0x10000] as const;

function codePoint(bytes: Uint8Array, at: number, length: 2 | 3 | 4): number {
  const first = bytes[at] as number;
  if (first < 0xc2 || first > 0xf4) return -1;
  let point = first & (0xff >> (length + 1));
  for (let offset = 1; offset < length; offset++) {
    const byte = bytes[at + offset] as number;
    if ((byte & 0xc0) !== 0x80) return -1;
    point = (point << 6) | (byte & 0x3f);
  }
  if (point < smallestOfLength[length] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return -1;
  return point;
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
