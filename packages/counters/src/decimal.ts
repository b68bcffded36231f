/**
 * Exact decimal arithmetic for INCRBYFLOAT and INCREX BYFLOAT.
 *
 * Redis adds in the C compiler's `long double` (19 significant digits on x86) and prints 17 digits after the
 * point, so 84.9 + 7456.7 is 7541.60000000000000009 there. We add exactly and round once, half to even: the
 * same as Redis where its answer is exact, right beyond, and equal on every machine.
 * Accepted text is Redis' (strtold) without hexadecimal.
 */

/** `digits / 10^scale`, scale >= 0. */
export interface Decimal {
  readonly digits: bigint;
  readonly scale: number;
}

/** NOT_A_FLOAT: no number, or one out of range. NOT_FINITE: infinity, or a sum out of range. As Redis answers. */
export type DecimalFailure = "NOT_A_FLOAT" | "NOT_FINITE";

/** Digits after the point that a sum keeps (Redis' ld2string). */
const fractionDigitsMax = 17;
/** Longest text that is read: Redis' MAX_LONG_DOUBLE_CHARS, 5 KiB with the closing zero. */
const textBytesMax = 5 * 1024 - 1;
/** Numbers of more digits before the point are out of range, as for `long double`, whose largest is 1.19e4932. */
const integerDigitsMax = 4932;
/** A first significant digit further behind the point than this is out of range, as for `long double`. */
const leadingZerosMax = 4950;
/** Exponents are counted up to here only: enough to be out of range with any text of `textBytesMax`. */
const exponentCeiling = 20_000;

export const zeroDecimal: Decimal = { digits: 0n, scale: 0 };

const codePlus = 43;
const codeMinus = 45;
const codePoint = 46;
const codeZero = 48;
const codeE = 101;
const codeI = 105;
const lowerCaseBit = 32;

/** Parses a float's text: sign, digits with a point, exponent; no blanks. */
export function parseDecimal(text: Uint8Array): Decimal | DecimalFailure {
  const end = text.length;
  if (end === 0 || end > textBytesMax) return "NOT_A_FLOAT";
  let at = 0;
  const negative = text[0] === codeMinus;
  if (negative || text[0] === codePlus) at++;
  if (isInfinity(text, at)) return "NOT_FINITE";

  let digits = "";
  let fractionDigits = 0;
  let pointSeen = false;
  for (; at < end; at++) {
    const byte = text[at] as number;
    if (isDigit(byte)) {
      digits += String.fromCharCode(byte);
      if (pointSeen) fractionDigits++;
    } else if (byte === codePoint && !pointSeen) {
      pointSeen = true;
    } else {
      break;
    }
  }
  if (digits.length === 0) return "NOT_A_FLOAT";
  const exponent = parseExponent(text, at);
  if (exponent === undefined) return "NOT_A_FLOAT";
  return fromParts(negative, digits, fractionDigits - exponent);
}

function isDigit(byte: number): boolean {
  return byte >= codeZero && byte <= codeZero + 9;
}

function isInfinity(text: Uint8Array, start: number): boolean {
  if (((text[start] ?? 0) | lowerCaseBit) !== codeI) return false;
  const word = String.fromCharCode(...text.subarray(start, start + 9)).toLowerCase();
  return word === "inf" || word === "infinity";
}

/** The exponent at `start`, 0 if the text ends there, undefined if something else stands there. */
function parseExponent(text: Uint8Array, start: number): number | undefined {
  let at = start;
  if (at === text.length) return 0;
  if (((text[at] as number) | lowerCaseBit) !== codeE) return undefined;
  at++;
  const negative = text[at] === codeMinus;
  if (negative || text[at] === codePlus) at++;
  if (at === text.length) return undefined;
  let exponent = 0;
  for (; at < text.length; at++) {
    const byte = text[at] as number;
    if (!isDigit(byte)) return undefined;
    exponent = Math.min(exponent * 10 + (byte - codeZero), exponentCeiling);
  }
  return negative ? -exponent : exponent;
}

/** Refuses what is out of range before any large number is built. `scale` may be negative. */
function fromParts(negative: boolean, digits: string, scale: number): Decimal | DecimalFailure {
  const significant = digits.replace(/^0+/, "");
  if (significant.length === 0) return zeroDecimal;
  const integerDigits = significant.length - scale;
  if (integerDigits > integerDigitsMax || -integerDigits > leadingZerosMax) return "NOT_A_FLOAT";
  const magnitude = BigInt(significant) * (scale < 0 ? 10n ** BigInt(-scale) : 1n);
  return { digits: negative ? -magnitude : magnitude, scale: Math.max(scale, 0) };
}

/** `left + right`, rounded to 17 digits after the point. */
export function addDecimals(left: Decimal, right: Decimal): Decimal | "NOT_FINITE" {
  const scale = Math.max(left.scale, right.scale);
  const sum = roundDecimal({ digits: digitsAt(left, scale) + digitsAt(right, scale), scale });
  const magnitude = sum.digits < 0n ? -sum.digits : sum.digits;
  // Numbers of 4,900 digits are rare: the cheap test first.
  if (magnitude >= 10n ** 18n && magnitude >= 10n ** BigInt(integerDigitsMax + sum.scale)) return "NOT_FINITE";
  return sum;
}

/** `left - right`, rounded to 17 digits after the point. */
export function subtractDecimals(left: Decimal, right: Decimal): Decimal | "NOT_FINITE" {
  return addDecimals(left, { digits: -right.digits, scale: right.scale });
}

/** Negative, zero or positive, as `left` is below, equal to or above `right`. */
export function compareDecimals(left: Decimal, right: Decimal): number {
  const scale = Math.max(left.scale, right.scale);
  const leftDigits = digitsAt(left, scale);
  const rightDigits = digitsAt(right, scale);
  return leftDigits < rightDigits ? -1 : leftDigits > rightDigits ? 1 : 0;
}

function digitsAt(value: Decimal, scale: number): bigint {
  return scale === value.scale ? value.digits : value.digits * 10n ** BigInt(scale - value.scale);
}

/** At most 17 digits after the point, a tie to the even neighbour. */
export function roundDecimal(value: Decimal): Decimal {
  if (value.scale <= fractionDigitsMax) return value;
  const divisor = 10n ** BigInt(value.scale - fractionDigitsMax);
  const negative = value.digits < 0n;
  const magnitude = negative ? -value.digits : value.digits;
  let quotient = magnitude / divisor;
  const twiceRest = (magnitude % divisor) * 2n;
  if (twiceRest > divisor || (twiceRest === divisor && (quotient & 1n) === 1n)) quotient += 1n;
  return { digits: negative ? -quotient : quotient, scale: fractionDigitsMax };
}

/** Plain text without exponent, trailing zeros or trailing point; never `-0`. Rounds to 17 digits after the point. */
export function formatDecimal(value: Decimal): Uint8Array {
  const { digits, scale } = roundDecimal(value);
  const magnitude = (digits < 0n ? -digits : digits).toString().padStart(scale + 1, "0");
  const whole = magnitude.slice(0, magnitude.length - scale);
  const fraction = magnitude.slice(magnitude.length - scale).replace(/0+$/, "");
  const text = `${digits < 0n ? "-" : ""}${whole}${fraction === "" ? "" : `.${fraction}`}`;
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  return bytes;
}
