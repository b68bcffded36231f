/** Redis replies: the bytes of the RESP2 and RESP3 specifications; every integer; the buffer's life. */
import { int64Max, int64Min } from "@quipu/core";
import { decodeUtf8, encodeUtf8, RespWriter, utf8Length } from "@quipu/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromLatin, latin } from "./collect.ts";

function written(version: 2 | 3, write: (writer: RespWriter) => void): string {
  const writer = new RespWriter(version);
  write(writer);
  return latin(writer.take());
}

describe("bytes", () => {
  test.each<[string, (writer: RespWriter) => void, string, string]>([
    ["simpleString", (w) => w.simpleString("OK"), "+OK\r\n", "+OK\r\n"],
    ["simpleString keeps to its line", (w) => w.simpleString("a\r\nb"), "+a  b\r\n", "+a  b\r\n"],
    ["error", (w) => w.error("ERR no\n"), "-ERR no \r\n", "-ERR no \r\n"],
    ["bulk", (w) => w.bulk(fromLatin("\0\r\n")), "$3\r\n\0\r\n\r\n", "$3\r\n\0\r\n\r\n"],
    ["bulk of a range", (w) => w.bulk(fromLatin("abcd"), 1, 3), "$2\r\nbc\r\n", "$2\r\nbc\r\n"],
    ["bulk, empty", (w) => w.bulk(new Uint8Array(0)), "$0\r\n\r\n", "$0\r\n\r\n"],
    ["bulkText", (w) => w.bulkText("é"), "$2\r\n\xc3\xa9\r\n", "$2\r\n\xc3\xa9\r\n"],
    ["bulkInteger", (w) => w.bulkInteger(-120), "$4\r\n-120\r\n", "$4\r\n-120\r\n"],
    ["null", (w) => w.null(), "$-1\r\n", "_\r\n"],
    ["nullArray", (w) => w.nullArray(), "*-1\r\n", "_\r\n"],
    ["arrayHeader", (w) => w.arrayHeader(12), "*12\r\n", "*12\r\n"],
    ["mapHeader", (w) => w.mapHeader(7), "*14\r\n", "%7\r\n"],
    ["setHeader", (w) => w.setHeader(7), "*7\r\n", "~7\r\n"],
    ["pushHeader", (w) => w.pushHeader(3), "*3\r\n", ">3\r\n"],
    ["double", (w) => w.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"],
    ["double, infinite", (w) => w.double(-Infinity), "$4\r\n-inf\r\n", ",-inf\r\n"],
    ["double, not a number", (w) => w.double(NaN), "$3\r\nnan\r\n", ",nan\r\n"],
    ["boolean", (w) => w.boolean(true), ":1\r\n", "#t\r\n"],
    ["boolean", (w) => w.boolean(false), ":0\r\n", "#f\r\n"],
    ["verbatim", (w) => w.verbatim("a:1"), "$3\r\na:1\r\n", "=7\r\ntxt:a:1\r\n"],
    ["bigNumber", (w) => w.bigNumber(2n ** 70n), "$22\r\n1180591620717411303424\r\n", "(1180591620717411303424\r\n"],
    ["raw", (w) => w.raw(fromLatin("+OK\r\n")), "+OK\r\n", "+OK\r\n"],
  ])("%s", (_name, write, resp2, resp3) => {
    expect(written(2, write)).toBe(resp2);
    expect(written(3, write)).toBe(resp3);
  });

  test("integers of every length, both signs", () => {
    for (let power = 1; power <= 1e15; power *= 10) {
      for (const value of [power - 1, power, power + 1, 9 * power]) {
        expect(written(2, (w) => w.integer(value))).toBe(`:${value}\r\n`);
        expect(written(2, (w) => w.integer(0 - value))).toBe(`:${0 - value}\r\n`);
      }
    }
    for (const value of [
      2 ** 31 - 1,
      2 ** 31,
      2 ** 32,
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
      int64Max,
      int64Min,
    ]) {
      expect(written(2, (w) => w.integer(value))).toBe(`:${value}\r\n`);
      expect(written(2, (w) => w.bulkInteger(value))).toBe(`$${value.toString().length}\r\n${value}\r\n`);
    }
    fc.assert(fc.property(fc.maxSafeInteger(), (value) => written(3, (w) => w.integer(value)) === `:${value}\r\n`));
  });
});

describe("buffer", () => {
  test("what take() gave is never touched again, small or large", () => {
    for (const bytes of [10, 5000, 100_000]) {
      const writer = new RespWriter();
      writer.bulk(new Uint8Array(bytes).fill(0x61));
      const first = writer.take();
      const before = latin(first);
      expect(writer.length).toBe(0);
      writer.bulk(new Uint8Array(bytes).fill(0x62));
      expect(latin(first)).toBe(before);
      expect(writer.length).toBe(before.length);
    }
  });

  test("memory that is not zeroed does not show", () => {
    const writer = new RespWriter(2, (bytes) => new Uint8Array(bytes).fill(0xff));
    for (let index = 0; index < 5000; index++) writer.integer(index);
    expect(latin(writer.take())).toBe(Array.from({ length: 5000 }, (_, index) => `:${index}\r\n`).join(""));
  });

  test("truncate takes back the last replies", () => {
    const writer = new RespWriter();
    writer.simpleString("OK");
    const length = writer.length;
    writer.arrayHeader(3);
    writer.truncate(length);
    expect(latin(writer.take())).toBe("+OK\r\n");
  });
});

describe("UTF-8", () => {
  const encoder = new TextEncoder();
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  test("encodes as TextEncoder does, lone surrogates included", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary" }),
          fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units)),
        ),
        (text) => {
          expect(encodeUtf8(text)).toEqual(encoder.encode(text));
          expect(utf8Length(text)).toBe(encoder.encode(text).length);
        },
      ),
    );
  });

  test("decodes what is well-formed as TextDecoder does, and never throws", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        (text) => decodeUtf8(encoder.encode(text)) === decoder.decode(encoder.encode(text)),
      ),
    );
    fc.assert(fc.property(fc.uint8Array(), (bytes) => decodeUtf8(bytes).length <= bytes.length));
    for (const malformed of ["\xff", "\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\x80"]) {
      expect(decodeUtf8(fromLatin(malformed))).toBe("\ufffd".repeat(malformed.length));
    }
  });
});
