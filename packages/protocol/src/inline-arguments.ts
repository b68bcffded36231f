/**
 * Inline commands: words of a line, with the quotes and escapes of Redis (`sdssplitargs`).
 * `"…"` knows \n \r \t \b \a \xHH and \<any>; `'…'` knows \' only; a closing quote ends its word.
 */

const tab = 9;
const lineFeed = 10;
const carriageReturn = 13;
const space = 32;
const doubleQuote = 34;
const singleQuote = 39;
const backslash = 92;

/** Whether the line has anything to unescape, so that it must lie in memory we may write to. */
export function hasQuotes(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = bytes[at];
    if (byte === doubleQuote || byte === singleQuote) return true;
  }
  return false;
}

/**
 * Splits [start, end) and calls `word` with the place of each word. Unescapes in place (a word never
 * grows), so `bytes` are written to where {@link hasQuotes}. False: unbalanced quotes.
 */
export function splitInline(
  bytes: Uint8Array,
  start: number,
  end: number,
  word: (start: number, end: number) => void,
): boolean {
  let at = start;
  for (;;) {
    while (at < end && isSpace(bytes[at] as number)) at++;
    if (at >= end) return true;
    const from = at;
    let to = at;
    while (at < end && !endsWord(bytes[at] as number)) {
      const byte = bytes[at] as number;
      if (byte === doubleQuote || byte === singleQuote) {
        const quoted =
          byte === doubleQuote ? readDoubleQuoted(bytes, at + 1, end, to) : readSingleQuoted(bytes, at + 1, end, to);
        if (quoted === undefined) return false;
        at = quoted.at;
        to = quoted.to;
        // "Closing quote must be followed by a space or nothing at all."
        if (at < end && !isSpace(bytes[at] as number)) return false;
        break;
      }
      bytes[to++] = byte;
      at++;
    }
    word(from, to);
    if (at < end) at++;
  }
}

interface Quoted {
  /** Behind the closing quote. */
  readonly at: number;
  /** Behind the last byte written. */
  readonly to: number;
}

function readDoubleQuoted(bytes: Uint8Array, start: number, end: number, target: number): Quoted | undefined {
  let at = start;
  let to = target;
  while (at < end) {
    const byte = bytes[at] as number;
    if (byte === doubleQuote) return { at: at + 1, to };
    if (byte !== backslash || at + 1 >= end) {
      bytes[to++] = byte;
      at++;
      continue;
    }
    const escaped = bytes[at + 1] as number;
    const high = at + 3 < end ? hexDigit(bytes[at + 2] as number) : -1;
    const low = at + 3 < end ? hexDigit(bytes[at + 3] as number) : -1;
    if (escaped === 0x78 && high >= 0 && low >= 0) {
      bytes[to++] = high * 16 + low;
      at += 4;
    } else {
      bytes[to++] = unescape(escaped);
      at += 2;
    }
  }
  return undefined;
}

function readSingleQuoted(bytes: Uint8Array, start: number, end: number, target: number): Quoted | undefined {
  let at = start;
  let to = target;
  while (at < end) {
    const byte = bytes[at] as number;
    if (byte === singleQuote) return { at: at + 1, to };
    if (byte === backslash && at + 1 < end && bytes[at + 1] === singleQuote) at++;
    bytes[to++] = bytes[at++] as number;
  }
  return undefined;
}

/** C's isspace: tab, line feed, vertical tab, form feed, carriage return, space. */
function isSpace(byte: number): boolean {
  return byte === space || (byte >= tab && byte <= carriageReturn);
}

/** Outside quotes; vertical tab and form feed belong to a word once it has begun. NUL ends one, as in C. */
function endsWord(byte: number): boolean {
  return byte === space || byte === lineFeed || byte === carriageReturn || byte === tab || byte === 0;
}

function unescape(byte: number): number {
  switch (byte) {
    case 0x6e:
      return lineFeed;
    case 0x72:
      return carriageReturn;
    case 0x74:
      return tab;
    case 0x62:
      return 8;
    case 0x61:
      return 7;
    default:
      return byte;
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 0x20;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
