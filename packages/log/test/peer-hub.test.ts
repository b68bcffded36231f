/** Frames in and out of one member: what is not sound, of this cell and for this member is thrown away and counted. */
import { crc32 } from "node:zlib";
import { logIndex, memberId } from "@quipu/consensus";
import type { Network } from "@quipu/core";
import { encodePeerFrame, type PeerMessage } from "@quipu/protocol";
import { expect, test } from "vitest";
import { openPeerHub } from "../src/mod.ts";

/** Of a frame: where its type stands. */
const typeAt = 26;

const message: PeerMessage = { type: "checkpointed", group: 1, upTo: logIndex(5) };

function makeHub() {
  const sent: [number, Uint8Array][] = [];
  let onFrame: (from: number, frame: Uint8Array) => void = () => undefined;
  const network: Network = {
    listen: (_member, handler) => {
      onFrame = handler;
    },
    send: (to, frame) => void sent.push([to, frame]),
    peers: () => [2, 3],
  };
  const hub = openPeerHub({ network, cell: 9, member: memberId(1) });
  return { hub, sent, arrive: (from: number, frame: Uint8Array) => onFrame(from, frame) };
}

const frame = (cell: number, from: number, to: number): Uint8Array =>
  encodePeerFrame({ cell, from: memberId(from), to: memberId(to), message });

test("a message arrives at the handler of its type, as it was sent", () => {
  const { hub, arrive } = makeHub();
  const got: unknown[] = [];
  hub.handle("checkpointed", (from, its) => got.push([from, its.upTo]));
  arrive(2, frame(9, 2, 1));
  expect(got).toEqual([[2, 5]]);
  expect(() => hub.handle("checkpointed", () => undefined)).toThrow("two handlers");
});

test("what is sent is a frame of this cell; peers are those of the network", () => {
  const { hub, sent } = makeHub();
  hub.send(memberId(3), message);
  expect(sent).toEqual([[3, frame(9, 1, 3)]]);
  expect(hub.peers()).toEqual([2, 3]);
});

test("what is damaged, of another cell, for or from somebody else, or for nobody is dropped and counted", () => {
  const { hub, arrive } = makeHub();
  const damaged = frame(9, 2, 1);
  damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
  arrive(2, damaged);
  arrive(2, new Uint8Array(0));
  arrive(2, frame(8, 2, 1));
  arrive(2, frame(9, 2, 1025));
  arrive(3, frame(9, 2, 1));
  arrive(2, frame(9, 2, 1));
  expect(hub.statistics()).toEqual({ damaged: 2, otherCell: 1, otherAddressee: 1, otherSender: 1, unhandled: 1 });
});

test("a message of a type that only newer versions know is passed over, and nothing counts as damaged", () => {
  const { hub, arrive } = makeHub();
  const bytes = frame(9, 2, 1);
  bytes[typeAt] = 200;
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(4, crc32(bytes.subarray(8)), true);
  arrive(2, bytes);
  expect(hub.statistics()).toMatchObject({ damaged: 0, unhandled: 1 });
});

test("a message to oneself arrives without the network, and not before send has returned", async () => {
  const { hub, sent } = makeHub();
  const got: number[] = [];
  hub.handle("checkpointed", (from) => got.push(from));
  hub.send(memberId(1), message);
  expect(got).toEqual([]);
  await Promise.resolve();
  expect(got).toEqual([1]);
  expect(sent).toEqual([]);
});
