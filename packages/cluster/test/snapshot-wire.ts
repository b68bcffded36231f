/** What the tests of snapshots on the wire share: snapshots without a machine behind them, members, a request. */
import type { MemberId } from "@quipu/consensus";
import { lsn, SeededRandom } from "@quipu/core";
import { type OfferedSnapshot, SnapshotBuilder, type SnapshotBytes } from "../src/mod.ts";
import { text } from "./busy-machine.ts";

export const member = (number: number): MemberId => number as MemberId;

export const whole = (bytes: SnapshotBytes): Uint8Array => bytes.read(0, bytes.totalBytes);

/** Any bytes will do on the way. */
export function offered(position: number, bytes: number, seed: number): OfferedSnapshot {
  const builder = new SnapshotBuilder(lsn(position), "0123456789abcdef", 10_000_000);
  const random = new SeededRandom(seed);
  for (let left = bytes; left > 0; left -= 100) {
    builder.add(
      text(`${left}`),
      Uint8Array.from({ length: 80 }, () => random.below(256)),
    );
  }
  return { bytes: builder.finish(), logStart: text(`start ${position}`), recordBytesBefore: 0 };
}

/** For whatever snapshot there is. */
export const anyRequest = {
  type: "snapshotRequest",
  shard: 0,
  transfer: 5,
  atLeast: 1,
  position: 0,
  totalBytes: 0,
  checksum: 0,
  offset: 0,
} as const;
