/** Redis requests: however a stream is cut, the same commands; Redis' errors; hostile bytes do no harm. */
import { appendCommand, encodeCommand, requestLimits, RespRequestParser, RespWriter } from "@quipu/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cut, fromLatin, latin, parseRequests, type Requests } from "./collect.ts";

const parse = (text: string, options?: Parameters<typeof parseRequests>[1]): Requests =>
  parseRequests([fromLatin(text)], options);

describe("commands", () => {
  test("multibulk: binary arguments, empty ones, a pipeline", () => {
    expect(parse("*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\n\r\n\0\xff\r\n").commands).toEqual([
      ["INCR", "a"],
      ["SET", "", "\r\n\0\xff"],
    ]);
  });

  test("no commands: empty lines, *0 and negative counts", () => {
    expect(parse("\r\n\n   \r\n*0\r\n*-1\r\n*-99999999999999999\r\nPING\r\n")).toEqual({
      commands: [["PING"]],
      error: undefined,
    });
  });

  test.each([
    ["PING\r\n", [["PING"]]],
    ["PING\n", [["PING"]]],
    ["  SET  a\tb \r\n", [["SET", "a", "b"]]],
    [`SET a "b c"\r\n`, [["SET", "a", "b c"]]],
    [`SET a "\\x41\\n\\r\\t\\b\\a\\"\\q\\x4"\r\n`, [["SET", "a", `A\n\r\t\b\x07"qx4`]]],
    [`SET a 'it\\'s \\n'\r\n`, [["SET", "a", "it's \\n"]]],
    [
      `SET a ""\r\nGET ''\r\n`,
      [
        ["SET", "a", ""],
        ["GET", ""],
      ],
    ],
    [`SET pre"fix" x\r\n`, [["SET", "prefix", "x"]]],
    [`"PING"\r\n*1\r\n$4\r\nQUIT\r\n`, [["PING"], ["QUIT"]]],
  ])("inline %j", (line, commands) => {
    expect(parse(line)).toEqual({ commands, error: undefined });
  });

  test("every split in three parts gives the same commands", () => {
    const text = `*2\r\n$4\r\nINCR\r\n$3\r\nkey\r\n\r\nSET a "x\\x41 y" 'z'\r\n*0\r\n*3\r\n$03\r\n`;
    const bytes = fromLatin(text);
    const whole = parseRequests([bytes]);
    expect(whole.commands).toEqual([
      ["INCR", "key"],
      ["SET", "a", "xA y", "z"],
    ]);
    expect(whole.error).toBe("ERR Protocol error: invalid bulk length");
    for (let first = 0; first <= bytes.length; first++) {
      for (let second = first; second <= bytes.length; second++) {
        expect(parseRequests(cut(bytes, [first, second])), `cut at ${first} and ${second}`).toEqual(whole);
      }
    }
    expect(parseRequests([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(whole);
  });

  test("what encodeCommand and appendCommand write is read back, in any cut", () => {
    const argument = fc.oneof(fc.uint8Array({ maxLength: 80 }), fc.uint8Array({ minLength: 990, maxLength: 1200 }));
    fc.assert(
      fc.property(
        fc.array(fc.array(argument, { minLength: 1, maxLength: 40 }), { maxLength: 8 }),
        fc.array(fc.nat(20_000), { maxLength: 12 }),
        (commands, places) => {
          const writer = new RespWriter();
          for (const command of commands) appendCommand(writer, command);
          const bytes = writer.take();
          expect(latin(bytes)).toBe(commands.map((command) => latin(encodeCommand(command))).join(""));
          expect(parseRequests(cut(bytes, places))).toEqual({
            commands: commands.map((command) => command.map(latin)),
            error: undefined,
          });
        },
      ),
      { numRuns: 150 },
    );
  });

  test("arguments stay readable while later commands of the same chunk are parsed", () => {
    const parser = new RespRequestParser();
    parser.feed(fromLatin("*1\r\n$3\r\nONE\r"));
    expect(parser.next()).toBe("more");
    parser.feed(fromLatin("\n*1\r\n$3\r\nTWO\r\nSAY 'it'\r\n*1\r\n$5\r\nTHR"));
    const views: Uint8Array[] = [];
    while (parser.next() === "command") views.push(parser.argument(0));
    expect(views.map(latin)).toEqual(["ONE", "TWO", "SAY"]);
    expect(parser.bufferedBytes).toBe("*1\r\n$5\r\nTHR".length);
    parser.feed(fromLatin("EE\r\n"));
    expect(parser.next()).toBe("command");
    expect(parser.argumentText(0)).toBe("THREE");
  });

  test("a caller may feed before it has read everything", () => {
    const parser = new RespRequestParser();
    const read: string[] = [];
    parser.feed(fromLatin("A\r\nB\r\nC"));
    parser.next();
    read.push(parser.argumentText(0));
    parser.feed(fromLatin("\r\nD\r\n"));
    while (parser.next() === "command") read.push(parser.argumentText(0));
    expect(read).toEqual(["A", "B", "C", "D"]);
  });
});

describe("errors of Redis 7", () => {
  const long = "x".repeat(65 * 1024);
  test.each([
    ["*a\r\n", "invalid multibulk length"],
    ["*\r\n", "invalid multibulk length"],
    ["*01\r\n", "invalid multibulk length"],
    ["*+1\r\n", "invalid multibulk length"],
    ["*1 \r\n", "invalid multibulk length"],
    ["*1048577\r\n", "invalid multibulk length"],
    ["*2147483648\r\n", "invalid multibulk length"],
    ["*99999999999999999999\r\n", "invalid multibulk length"],
    ["*1\r\n$a\r\n", "invalid bulk length"],
    ["*1\r\n$-1\r\n", "invalid bulk length"],
    ["*1\r\n$9223372036854775807\r\n", "invalid bulk length"],
    [`*1\r\n$${requestLimits.bulkBytesMax + 1}\r\n`, "invalid bulk length"],
    ["*1\r\nx4\r\n", "expected '$', got 'x'"],
    ["*1\r\n\r\n", "expected '$', got '\r'"],
    [`*${long}`, "too big mbulk count string"],
    [`*1\r\n$${long}`, "too big bulk count string"],
    [long, "too big inline request"],
    [`SET a "b\r\n`, "unbalanced quotes in request"],
    [`SET a "b"c\r\n`, "unbalanced quotes in request"],
    ["SET a 'b\r\n", "unbalanced quotes in request"],
    ["SET a 'b'c\r\n", "unbalanced quotes in request"],
    [`SET a "b\\\r\n`, "unbalanced quotes in request"],
  ])("%#: $1", (text, reason) => {
    expect(parse(text)).toEqual({ commands: [], error: `ERR Protocol error: ${reason}` });
  });

  test("strangers have tight limits, which may be lifted in mid-stream", () => {
    const options = { authenticated: false };
    expect(parse("*11\r\n", options).error).toBe("ERR Protocol error: unauthenticated multibulk length");
    expect(parse("*10\r\n", options).error).toBeUndefined();
    expect(parse("*1\r\n$16385\r\n", options).error).toBe("ERR Protocol error: unauthenticated bulk length");
    expect(parse("*1\r\n$16384\r\n", options).error).toBeUndefined();
    const parser = new RespRequestParser();
    parser.authenticated = false;
    parser.feed(fromLatin("AUTH x\r\n*11\r\n"));
    expect(parser.next()).toBe("command");
    parser.authenticated = true;
    expect(parser.next()).toBe("more");
  });

  test("an error is final", () => {
    const parser = new RespRequestParser();
    parser.feed(fromLatin("*x\r\nPING\r\n"));
    expect(parser.next()).toBe("error");
    parser.feed(fromLatin("PING\r\n"));
    expect(parser.next()).toBe("error");
  });

  test("one command is bounded as a whole", () => {
    const limits = { ...requestLimits, bulkBytesMax: 100, commandBytesMax: 200 };
    const text = `*3\r\n$90\r\n${"a".repeat(90)}\r\n$100\r\n`;
    expect(parse(text, { limits }).error).toBe("ERR Protocol error: too big request");
  });
});

describe("hostile bytes", () => {
  test("a promised length allocates nothing", () => {
    const parser = new RespRequestParser();
    parser.feed(fromLatin("*1048576\r\n$1048576\r\nabc"));
    expect(parser.next()).toBe("more");
    expect(parser.bytes.length).toBeLessThanOrEqual(1024);
  });

  test("a large argument in many pieces is copied an amortised constant number of times", () => {
    const piece = new Uint8Array(64);
    const parser = new RespRequestParser();
    let buffers = 0;
    let previous: Uint8Array | undefined;
    parser.feed(fromLatin("*1\r\n$1048576\r\n"));
    for (let sent = 0; sent < 1_048_576; sent += piece.length) {
      expect(parser.next()).toBe("more");
      parser.feed(piece);
      if (parser.bytes !== previous) buffers++;
      previous = parser.bytes;
    }
    parser.feed(fromLatin("\r\n"));
    expect(parser.next()).toBe("command");
    expect(parser.argumentEnd(0) - parser.argumentStart(0)).toBe(1_048_576);
    expect(buffers).toBeLessThanOrEqual(13); // Doublings from 1 KiB to 2 MiB, and the first.
    expect(parser.next()).toBe("more");
    expect(parser.bytes.length).toBe(0);
  });

  test("random bytes never throw, never loop, and mean the same however cut", () => {
    const syntax = fc.constantFrom(
      "*",
      "$",
      "\r\n",
      "\n",
      "1",
      "2",
      "10",
      "-",
      "'",
      '"',
      "\\",
      " ",
      "a",
      "*1\r\n$1\r\nx\r\n",
      "\0",
      "\xff",
    );
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.array(syntax, { maxLength: 60 }).map((parts) => fromLatin(parts.join(""))),
    );
    fc.assert(
      fc.property(noise, fc.array(fc.nat(300), { maxLength: 6 }), (bytes, places) => {
        const before = bytes.slice();
        expect(parseRequests(cut(bytes, places))).toEqual(parseRequests([bytes]));
        expect(bytes).toEqual(before);
      }),
      { numRuns: 3000 },
    );
  });
});
