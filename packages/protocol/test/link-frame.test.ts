/** The stream between nodes: however it is cut, the same frames come out; and what is no stream is refused. */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  decodeControl,
  decodeHello,
  encodeControl,
  encodeHello,
  LinkFrameParser,
  linkHeaderBytes,
  type LinkHello,
  linkKind,
  writeLinkHeader,
} from "../src/mod.ts";

interface Frame {
  readonly kind: number;
  readonly payload: Uint8Array;
}

function bytesOf(frames: readonly Frame[]): Uint8Array {
  return Uint8Array.from(
    frames.flatMap(({ kind, payload }) => {
      const header = new Uint8Array(linkHeaderBytes);
      writeLinkHeader(header, 0, payload.length, kind);
      return [...header, ...payload];
    }),
  );
}

function parse(stream: Uint8Array, cuts: readonly number[], isOpen = true): { frames: Frame[]; fault?: string } {
  const parser = new LinkFrameParser();
  parser.isOpen = isOpen;
  const frames: Frame[] = [];
  const ends = [...new Set([...cuts.map((cut) => cut % (stream.length + 1)), stream.length])].sort((a, b) => a - b);
  let start = 0;
  for (const end of ends) {
    parser.push(stream.slice(start, end));
    while (parser.next()) frames.push({ kind: parser.kind, payload: parser.payload });
    start = end;
  }
  return { frames, ...(parser.fault === undefined ? {} : { fault: parser.fault }) };
}

const frameArbitrary: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({
    kind: fc.constant(linkKind.datagram),
    payload: fc.uint8Array({ minLength: 1, maxLength: 300 }),
  }),
  fc.record({
    kind: fc.constantFrom(linkKind.ping, linkKind.pong),
    payload: fc.uint8Array({ minLength: 8, maxLength: 8 }),
  }),
);

test("any frames, cut anywhere, come out whole, and stay as they are", () => {
  fc.assert(
    fc.property(fc.array(frameArbitrary, { maxLength: 40 }), fc.array(fc.nat(), { maxLength: 20 }), (frames, cuts) => {
      expect(parse(bytesOf(frames), cuts)).toEqual({ frames });
    }),
    { seed: 4 },
  );
});

test("any bytes at all give frames or a fault, cut or not", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.array(fc.nat(), { maxLength: 9 }),
      fc.boolean(),
      (bytes, cuts, open) => {
        expect(parse(bytes, cuts, open)).toEqual(parse(bytes, [], open));
      },
    ),
    { seed: 5 },
  );
});

test("a header is judged before anything is allocated for it", () => {
  const header = (length: number, kind: number, isOpen: boolean): string | undefined => {
    const bytes = new Uint8Array(linkHeaderBytes);
    writeLinkHeader(bytes, 0, length, kind);
    return parse(bytes, [], isOpen).fault;
  };
  expect(header(16 * 1024 * 1024, linkKind.datagram, true)).toBeUndefined();
  expect(header(16 * 1024 * 1024 + 1, linkKind.datagram, true)).toMatch(/limit 16777216/);
  expect(header(0xffff_ffff, linkKind.datagram, true)).toMatch(/4294967295 bytes/);
  expect(header(513, linkKind.hello, false)).toMatch(/limit 512/);
  expect(header(100, linkKind.datagram, false)).toMatch(/before authentication/);
  expect(header(100, linkKind.hello, true)).toMatch(/open already/);
  expect(header(1, 99, true)).toMatch(/unknown kind 99/);
});

test("a small part of a large chunk does not keep the chunk alive, a large part is no copy", () => {
  const parser = new LinkFrameParser();
  parser.isOpen = true;
  const chunk = bytesOf([
    { kind: linkKind.datagram, payload: new Uint8Array(60) },
    { kind: linkKind.datagram, payload: new Uint8Array(5000) },
  ]);
  parser.push(chunk);
  parser.next();
  expect(parser.payload.buffer.byteLength).toBe(60);
  parser.next();
  expect(parser.payload.buffer).toBe(chunk.buffer);
});

const hello: LinkHello = {
  versionMin: 1,
  versionMax: 3,
  name: "n1.example_a-b",
  cell: 2 ** 48 - 1,
  node: 1023,
  member: 0xffff_ffff,
  process: 2 ** 47,
  featureLevelMin: 1,
  featureLevelMax: 2,
  nonce: Uint8Array.from({ length: 32 }, (_, at) => at),
};

test("a hello is read back, also one that goes on with what later versions say", () => {
  const bytes = encodeHello(hello);
  expect(decodeHello(bytes)).toEqual(hello);
  expect(decodeHello(Uint8Array.of(...bytes, 1, 2, 3))).toEqual(hello);
});

test("no part of a hello, and no name that is none, is taken", () => {
  const bytes = encodeHello(hello);
  for (let end = 0; end < bytes.length; end++) expect(decodeHello(bytes.subarray(0, end))).toBeUndefined();
  expect(decodeHello(Uint8Array.of(...bytes.subarray(0, -1), 0x0a))).toBeUndefined();
  expect(() => encodeHello({ ...hello, name: "a b" })).toThrow(/name/);
});

test("a control message is read back; one that is damaged is not", () => {
  const payload = encodeControl({ text: "ü", list: [1, null] });
  if (payload === undefined) throw new Error("too large");
  expect(decodeControl(payload)).toEqual({ message: { text: "ü", list: [1, null] } });
  for (let at = 0; at < payload.length; at++) {
    const damaged = payload.slice();
    damaged[at] = (damaged[at] as number) ^ 1;
    expect(decodeControl(damaged).fault).toMatch(/checksum/);
  }
  expect(encodeControl("x".repeat(16 * 1024))).toBeUndefined();
});
