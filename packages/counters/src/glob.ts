/**
 * Glob patterns of KEYS and SCAN MATCH, by Redis' rules (stringmatchlen): `*`, `?`, `[a-c]`, `[^x]`, `\` to escape.
 *
 * Bytes, not characters. Time is at most pattern length × string length whatever the pattern: every token but `*`
 * eats exactly one byte, so on a mismatch only the last `*` need try again, one byte further on.
 */

const codeStar = 42;
const codeMinus = 45;
const codeQuestion = 63;
const codeOpen = 91;
const codeBackslash = 92;
const codeClose = 93;
const codeCaret = 94;

/** Does the whole of `text` match `pattern`? */
export function globMatches(pattern: Uint8Array, text: Uint8Array): boolean {
  let patternAt = 0;
  let textAt = 0;
  /** Behind the last `*` passed, and the text position that it is tried with; -1: none passed. */
  let starPattern = -1;
  let starText = 0;
  while (textAt < text.length) {
    if (patternAt < pattern.length && pattern[patternAt] === codeStar) {
      starPattern = ++patternAt;
      starText = textAt;
      continue;
    }
    const next = patternAt < pattern.length ? matchToken(pattern, patternAt, text[textAt] as number) : -1;
    if (next >= 0) {
      patternAt = next;
      textAt++;
    } else if (starPattern >= 0) {
      patternAt = starPattern;
      textAt = ++starText;
    } else {
      return false;
    }
  }
  while (patternAt < pattern.length && pattern[patternAt] === codeStar) patternAt++;
  return patternAt === pattern.length;
}

/** Where the pattern goes on if the token at `at`, no star, matches `byte`; else -1. */
function matchToken(pattern: Uint8Array, at: number, byte: number): number {
  const token = pattern[at];
  if (token === codeQuestion) return at + 1;
  if (token === codeOpen) return matchClass(pattern, at + 1, byte);
  // A backslash at the very end stands for itself.
  const literal = token === codeBackslash && at + 1 < pattern.length ? at + 1 : at;
  return pattern[literal] === byte ? literal + 1 : -1;
}

/** As {@link matchToken}, for a class; `start` is behind the bracket. An unclosed class ends with the pattern. */
function matchClass(pattern: Uint8Array, start: number, byte: number): number {
  const negated = pattern[start] === codeCaret;
  let at = negated ? start + 1 : start;
  let found = false;
  while (at < pattern.length && pattern[at] !== codeClose) {
    const first = pattern[at] as number;
    if (first === codeBackslash && at + 1 < pattern.length) {
      found ||= pattern[at + 1] === byte;
      at += 2;
    } else if (at + 2 < pattern.length && pattern[at + 1] === codeMinus) {
      // Whatever follows the dash is the other end, even a closing bracket; the ends may stand in either order.
      const last = pattern[at + 2] as number;
      found ||= byte >= Math.min(first, last) && byte <= Math.max(first, last);
      at += 3;
    } else {
      found ||= first === byte;
      at++;
    }
  }
  return found !== negated ? Math.min(at + 1, pattern.length) : -1;
}
