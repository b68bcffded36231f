/** Replies: every type, any cut, what the writer writes is read back, hostile servers do no harm. */
import { int64FromBigInt, int64Max, int64Min } from "@quipu/core";
import {
  ReplyError,
  type ReplyLimits,
  replyLimits,
  replyText,
  type ReplyValue,
  RespReplyParser,
  RespWriter,
} from "@quipu/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cut, fromLatin } from "./collect.ts";

interface Replies {
  readonly events: readonly (readonly ["reply" | "push", ReplyValue])[];
  readonly error: string | undefined;
}

/** Chunks are overwritten once parsed: values must not point into them. */
function parseReplies(chunks: readonly Uint8Array[], limits?: ReplyLimits): Replies {
  const parser = new RespReplyParser(limits);
  const events: ["reply" | "push", ReplyValue][] = [];
  for (const original of chunks) {
    const chunk = original.slice();
    parser.feed(chunk);
    for (;;) {
      const event = parser.next();
      if (event === "error") return { events, error: parser.errorText };
      if (event === "more") break;
      events.push([event, parser.value]);
      if (events.length > 10_000) throw new Error("the parser does not progress");
    }
    chunk.fill(0x2a);
  }
  return { events, error: undefined };
}

const parse = (text: string, limits?: ReplyLimits): Replies => parseReplies([fromLatin(text)], limits);

describe("values", () => {
  test.each<[string, ReplyValue]>([
    ["+OK\r\n", "OK"],
    ["-ERR no such thing\r\n", new ReplyError("ERR no such thing")],
    [":0\r\n", 0],
    [":123456789\r\n", 123_456_789],
    [":-5\r\n", -5],
    [":9007199254740993\r\n", 9_007_199_254_740_993n],
    [":-9223372036854775808\r\n", int64Min],
    ["$-1\r\n", null],
    ["*-1\r\n", null],
    ["_\r\n", null],
    ["$0\r\n\r\n", new Uint8Array(0)],
    ["$4\r\n\r\n\0\xff\r\n", fromLatin("\r\n\0\xff")],
    ["#t\r\n", true],
    ["#f\r\n", false],
    [",1.5e3\r\n", 1500],
    [",-inf\r\n", -Infinity],
    [",nan\r\n", NaN],
    ["(1180591620717411303424\r\n", 2n ** 70n],
    ["!9\r\nERR a\r\nbc\r\n", new ReplyError("ERR a\r\nbc")],
    ["=7\r\ntxt:a:1\r\n", "a:1"],
    ["*0\r\n", []],
    ["%0\r\n", new Map()],
    [
      "*3\r\n:1\r\n*2\r\n$1\r\na\r\n_\r\n-OUTOFBOUNDS x\r\n",
      [1, [fromLatin("a"), null], new ReplyError("OUTOFBOUNDS x")],
    ],
    ["~2\r\n+a\r\n+b\r\n", ["a", "b"]],
    [
      "%2\r\n$1\r\na\r\n:1\r\n+b\r\n*0\r\n",
      new Map<ReplyValue, ReplyValue>([
        ["a", 1],
        ["b", []],
      ]),
    ],
  ])("%j", (text, value) => {
    expect(parse(text)).toEqual({ events: [["reply", value]], error: undefined });
  });

  test("an error's code is its first word", () => {
    expect(new ReplyError("NOAUTH Authentication required.").code).toBe("NOAUTH");
    expect(new ReplyError("INDOUBT").code).toBe("INDOUBT");
  });

  test("attributes are dropped wherever they stand; pushes come by themselves", () => {
    const text = "|1\r\n+ttl\r\n:3\r\n*2\r\n|1\r\n+a\r\n*1\r\n:1\r\n:7\r\n:8\r\n>2\r\n+message\r\n:1\r\n|0\r\n:9\r\n";
    expect(parse(text).events).toEqual([
      ["reply", [7, 8]],
      ["push", ["message", 1]],
      ["reply", 9],
    ]);
  });

  test("every split in three parts gives the same values", () => {
    const bytes = fromLatin(
      "*3\r\n$3\r\nabc\r\n:12\r\n*2\r\n-ERR x\r\n%1\r\n+k\r\n,2.5\r\n>1\r\n+p\r\n:-9223372036854775808\r\n:x\r\n",
    );
    const whole = parseReplies([bytes]);
    expect(whole.events.length).toBe(3);
    expect(whole.error).toBe("Protocol error: malformed integer");
    for (let first = 0; first <= bytes.length; first++) {
      for (let second = first; second <= bytes.length; second++) {
        expect(parseReplies(cut(bytes, [first, second])), `cut at ${first} and ${second}`).toEqual(whole);
      }
    }
    expect(parseReplies([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(whole);
  });
});

describe("round trip", () => {
  type Node =
    | { kind: "integer"; value: bigint }
    | { kind: "bulk"; value: Uint8Array }
    | { kind: "text" | "error"; value: string }
    | { kind: "double"; value: number }
    | { kind: "boolean"; value: boolean }
    | { kind: "null" }
    | { kind: "array"; items: Node[] };
  const line = fc.string().map((text) => text.replaceAll(/[\r\n]/g, "_"));
  const { tree } = fc.letrec<{ tree: Node }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      fc.record({ kind: fc.constant("integer" as const), value: fc.bigInt({ min: int64Min, max: int64Max }) }),
      fc.record({ kind: fc.constant("bulk" as const), value: fc.uint8Array({ maxLength: 50 }) }),
      fc.record({ kind: fc.constantFrom("text" as const, "error" as const), value: line }),
      fc.record({ kind: fc.constant("double" as const), value: fc.double() }),
      fc.record({ kind: fc.constant("boolean" as const), value: fc.boolean() }),
      fc.constant({ kind: "null" as const }),
      fc.record({ kind: fc.constant("array" as const), items: fc.array(tie("tree"), { maxLength: 4 }) }),
    ),
  }));

  function write(writer: RespWriter, node: Node): ReplyValue {
    switch (node.kind) {
      case "integer":
        writer.integer(node.value);
        return int64FromBigInt(node.value) as ReplyValue;
      case "bulk":
        writer.bulk(node.value);
        return node.value;
      case "text":
        writer.simpleString(node.value);
        return node.value;
      case "error":
        writer.error(node.value);
        return new ReplyError(node.value);
      case "double":
        writer.double(node.value);
        return Object.is(node.value, -0) ? 0 : node.value;
      case "boolean":
        writer.boolean(node.value);
        return node.value;
      case "null":
        writer.null();
        return null;
      case "array":
        writer.arrayHeader(node.items.length);
        return node.items.map((item) => write(writer, item));
    }
  }

  test("what RespWriter writes in RESP3 is read back, in any cut", () => {
    fc.assert(
      fc.property(fc.array(tree, { maxLength: 6 }), fc.array(fc.nat(2000), { maxLength: 8 }), (nodes, places) => {
        const writer = new RespWriter(3);
        const values = nodes.map((node) => write(writer, node));
        const read = parseReplies(cut(writer.take(), places));
        expect(read).toEqual({ events: values.map((value) => ["reply", value]), error: undefined });
      }),
      { numRuns: 300 },
    );
  });
});

describe("hostile servers", () => {
  test.each([
    ["?\r\n", "unknown type 63"],
    [":1x\r\n", "malformed integer"],
    [":9223372036854775808\r\n", "malformed integer"],
    ["$x\r\n", "invalid bulk length"],
    ["$-2\r\n", "invalid bulk length"],
    ["$99999999999\r\n", "invalid bulk length"],
    ["$1\r\nabc\r\n", "bulk without its end"],
    ["*1048577\r\n", "invalid aggregate length"],
    ["*?\r\n", "invalid aggregate length"],
    ["%-1\r\n", "invalid aggregate length"],
    ["*1\r\n>1\r\n", "misplaced push"],
    ["*1\r\n".repeat(33), "nested too deeply"],
    ["#x\r\n", "malformed boolean"],
    [",1.5.5\r\n", "malformed double"],
    [`(${"1".repeat(5000)}\r\n`, "malformed big number"],
    ["=3\r\ntxt\r\n", "malformed verbatim string"],
    ["+a\rb\r\n", "carriage return without line feed"],
    [`+${"x".repeat(70_000)}`, "line too long"],
  ])("%#: $1", (text, reason) => {
    expect(parse(text)).toEqual({ events: [], error: `Protocol error: ${reason}` });
  });

  test("one reply is bounded as a whole", () => {
    const limits = { ...replyLimits, replyBytesMax: 100 };
    expect(parse(`*3\r\n${"$40\r\n" + "a".repeat(40) + "\r\n"}${"$60\r\n"}`, limits).error).toBe(
      "Protocol error: reply too large",
    );
    expect(parse(`*99\r\n${":1\r\n".repeat(60)}`, limits).error).toBe("Protocol error: reply too large");
    expect(parse(":1\r\n".repeat(60), limits).error).toBeUndefined();
  });

  test("random bytes never throw, never loop, and mean the same however cut", () => {
    const syntax = fc.constantFrom(
      "*",
      "$",
      "%",
      "~",
      ">",
      "|",
      ":",
      "+",
      "-",
      "_",
      "#t",
      ",",
      "(",
      "!",
      "=",
      "\r\n",
      "1",
      "2",
      "4",
      "0",
      "a",
      ":1\r\n",
      "+OK\r\n",
    );
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.array(syntax, { maxLength: 60 }).map((parts) => fromLatin(parts.join(""))),
    );
    fc.assert(
      fc.property(noise, fc.array(fc.nat(300), { maxLength: 6 }), (bytes, places) => {
        const whole = parseReplies([bytes]);
        const pieces = parseReplies(cut(bytes, places));
        // A broken line may be noticed only with its last byte, but never differently.
        expect(pieces.events).toEqual(whole.events);
        expect(pieces.error).toEqual(whole.error);
      }),
      { numRuns: 3000 },
    );
  });
});

test("replyText", () => {
  expect([replyText("a"), replyText(fromLatin("b")), replyText(1), replyText(null)]).toEqual([
    "a",
    "b",
    undefined,
    undefined,
  ]);
});
