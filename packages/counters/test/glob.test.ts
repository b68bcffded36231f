/** Glob patterns: Redis' answers, and no pattern that is expensive. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { globMatches } from "../src/glob.ts";
import { bytesOf } from "./model/arbitraries.ts";

const matches = (pattern: string, text: string): boolean => globMatches(bytesOf(pattern), bytesOf(text));

/** `SET key x`, `KEYS pattern`: recorded from redis-server 7.0.15. */
const recorded: readonly (readonly [pattern: string, key: string, matched: boolean])[] = [
  ["*", "a", true],
  ["**", "a", true],
  ["a*", "abc", true],
  ["a*c", "abc", true],
  ["a*d", "abc", false],
  ["*a*b*", "xaybz", true],
  ["?", "a", true],
  ["?", "ab", false],
  ["??", "ab", true],
  ["", "a", false],
  ["h[ae]llo", "hello", true],
  ["h[ae]llo", "hillo", false],
  ["h[^e]llo", "hello", false],
  ["h[^e]llo", "hallo", true],
  ["h[a-b]llo", "hbllo", true],
  ["h[b-a]llo", "hallo", true],
  ["h[a-b]llo", "hcllo", false],
  ["[a-]", "a", true],
  ["[a-]", "-", false],
  ["[a-]x", "-x", false],
  ["[a-]]", "]", true],
  ["[]", "a", false],
  ["[^]", "a", true],
  ["[^]a]", "a]", false],
  ["[]a]", "a]", false],
  ["[abc", "b", true],
  ["[abc", "d", false],
  ["[^abc", "d", true],
  ["[a-", "a", true],
  ["[a-", "-", true],
  ["[", "[", false],
  ["[", "a", false],
  ["[^", "a", true],
  ["\\*", "*", true],
  ["\\*", "a", false],
  ["a\\?", "a?", true],
  ["a\\?", "ab", false],
  ["\\", "\\", true],
  ["a\\", "a\\", true],
  ["[\\]]", "]", true],
  ["[\\^]", "^", true],
  ["[a\\-c]", "b", false],
  ["[a\\-c]", "-", true],
  ["[\\", "\\", true],
  ["a[b", "a", false],
  ["*[a-c]*", "xxbxx", true],
  ["[!a]", "b", false],
  ["*?", "a", true],
  ["?*", "a", true],
  ["a*?b", "ab", false],
  ["a*?b", "axb", true],
  ["A", "a", false],
];

test.each(recorded)("as Redis: %j on %j is %s", (pattern, key, matched) => {
  expect(matches(pattern, key)).toBe(matched);
});

test("stars match nothing, too", () => {
  expect(matches("*", "")).toBe(true);
  expect(matches("", "")).toBe(true);
  expect(matches("?", "")).toBe(false);
});

test("bytes, not characters", () => {
  expect(globMatches(bytesOf("??"), bytesOf("\u00e9"))).toBe(true);
  expect(globMatches(Uint8Array.of(91, 128, 45, 255, 93), Uint8Array.of(200))).toBe(true);
});

/** The definition, recursive and exponential: fit for short patterns of `*`, `?` and letters only. */
function naive(pattern: string, text: string): boolean {
  if (pattern === "") return text === "";
  if (pattern[0] === "*") return naive(pattern.slice(1), text) || (text !== "" && naive(pattern, text.slice(1)));
  return text !== "" && (pattern[0] === "?" || pattern[0] === text[0]) && naive(pattern.slice(1), text.slice(1));
}

test("equal to the definition", () => {
  const pattern = fc.string({ unit: fc.constantFrom("a", "b", "*", "?"), maxLength: 8 });
  const text = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 8 });
  fc.assert(
    fc.property(pattern, text, (p, t) => {
      expect(matches(p, t)).toBe(naive(p, t));
    }),
    { numRuns: 3000 },
  );
});

test("a hostile pattern takes at most pattern × text steps", () => {
  const pattern = "a*".repeat(200) + "b";
  const text = "a".repeat(20_000);
  expect(matches(pattern, text)).toBe(false); // Exponential matching would never come back.
  expect(matches(pattern, `${text}b`)).toBe(true);
});

test("any bytes at all are a pattern", () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (pattern, text) => {
      expect(typeof globMatches(pattern, text)).toBe("boolean");
    }),
    { numRuns: 1000 },
  );
});
