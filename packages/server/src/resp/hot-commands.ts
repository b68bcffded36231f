/** Tells the commands that must be fast by their bytes: no string is made, letters count in either case. */

export const hotNone = 0;
export const hotIncr = 1;
export const hotDecr = 2;
export const hotIncrBy = 3;
export const hotGet = 4;
export const hotSet = 5;
export const hotPing = 6;
export const hotOnce = 7;
export const hotBatch = 8;

/** Bit 5 makes a letter lower case; only a letter and its capital share the other bits of a letter. */
const lowerCase = 0x2020_2020;

const wordGet = pack(" get");
const wordSet = pack(" set");
const wordIncr = pack("incr");
const wordDecr = pack("decr");
const wordPing = pack("ping");
const wordBy = pack("  by");
const wordOnce = pack("once");
const wordBatch = pack("atch");

const letterQ = 113;
const letterB = 98;
const dot = 46;

function pack(word: string): number {
  return (word.charCodeAt(0) << 24) | (word.charCodeAt(1) << 16) | (word.charCodeAt(2) << 8) | word.charCodeAt(3);
}

/** Four letters from `at`, lower case. */
function four(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number) |
    lowerCase
  );
}

function three(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number) | lowerCase;
}

function two(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number) | lowerCase;
}

function isQDot(bytes: Uint8Array, at: number): boolean {
  return ((bytes[at] as number) | 0x20) === letterQ && bytes[at + 1] === dot;
}

/** Which hot command [start, end) names, or {@link hotNone}. */
export function hotCommand(bytes: Uint8Array, start: number, end: number): number {
  switch (end - start) {
    case 3: {
      const word = three(bytes, start);
      return word === wordGet ? hotGet : word === wordSet ? hotSet : hotNone;
    }
    case 4: {
      const word = four(bytes, start);
      return word === wordIncr ? hotIncr : word === wordDecr ? hotDecr : word === wordPing ? hotPing : hotNone;
    }
    case 6:
      if (four(bytes, start) === wordIncr) return two(bytes, start + 4) === wordBy ? hotIncrBy : hotNone;
      return isQDot(bytes, start) && four(bytes, start + 2) === wordOnce ? hotOnce : hotNone;
    case 7:
      return isQDot(bytes, start) &&
        ((bytes[start + 2] as number) | 0x20) === letterB &&
        four(bytes, start + 3) === wordBatch
        ? hotBatch
        : hotNone;
    default:
      return hotNone;
  }
}
