/**
 * Frames that a disk wrote to the wrong place (Bairavasundaram et al., FAST 2008), and acknowledged: never a silent
 * loss while the frame's bytes stand anywhere else in the log's files, or a later frame does.
 */
import type { SimulatedDisk } from "@quipu/simulator";
import { describe, expect, test } from "vitest";
import { append, makeDisk, openLog, readAll, record } from "./wal-harness.ts";

const tinyLimits = { segmentBytes: 32 * 1024, frameBytesMax: 8 * 1024, hardStateBytesMax: 8, groupsMax: 4 };
const sectorBytes = 512;

const segment = (number: number): string => `wal/wal-${String(number).padStart(12, "0")}`;

interface Frame {
  readonly path: string;
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** A log of two segments and a prepared one; the frames as they were written, heads included. */
async function writtenFrames(): Promise<{ disk: SimulatedDisk; frames: readonly Frame[] }> {
  const disk = makeDisk();
  const places: { readonly path: string; readonly position: number; readonly length: number }[] = [];
  disk.fault = ({ type, path, position, length }) => {
    if (type === "write" && path.startsWith("wal/wal-0")) places.push({ path, position, length });
    return undefined;
  };
  const { wal } = await openLog(disk, tinyLimits);
  // One-sector frames and longer ones, into the second segment.
  for (let i = 1; i <= 15; i++) await append(wal, 1, [record(i, i % 3 === 0 ? 2600 : 100)]);
  await wal.close();
  disk.fault = undefined;
  const frames = places.map(({ path, position, length }) => ({
    path,
    position,
    bytes: disk.bytes(path).slice(position, position + length),
  }));
  expect(frames.at(-1)?.path).toBe(segment(2));
  expect(disk.paths()).toEqual([segment(1), segment(2), segment(3)]);
  return { disk, frames };
}

/** How many records a start finds; "corrupt" if it is refused, naming file and offset. */
async function recordsFound(disk: SimulatedDisk): Promise<number | "corrupt"> {
  try {
    const { wal } = await openLog(disk, tinyLimits);
    const records = await readAll(wal, 1);
    await wal.close();
    return records.length;
  } catch (error) {
    expect(error).toMatchObject({ code: "LOG_CORRUPT", message: expect.stringMatching(/wal-\d{12} at offset \d+: /) });
    return "corrupt";
  }
}

/** The disk as if `frame` had been written at `position` of `path`. */
function misdirect(disk: SimulatedDisk, frame: Frame, path: string, position: number): SimulatedDisk {
  const damaged = disk.clone();
  damaged.overwrite(frame.path, frame.position, new Uint8Array(frame.bytes.length));
  const fitting = Math.min(frame.bytes.length, tinyLimits.segmentBytes - position);
  damaged.overwrite(path, position, frame.bytes.subarray(0, fitting));
  return damaged;
}

describe("an acknowledged frame at another sector of any of the log's files", () => {
  test.each([1, 2, 3])("in segment %i: refused, whichever frame and wherever", async (target) => {
    const { disk, frames } = await writtenFrames();
    const path = segment(target);
    // The last frame, one in the middle, the last of the first segment, a head: of one sector and of several.
    const victims = [-1, -2, -3, 5, 6, 1].map((at) => frames.at(at)).concat(frames.filter((one) => one.position === 0));
    for (const frame of victims) {
      if (frame === undefined) throw new Error("no such frame");
      for (let position = 0; position < tinyLimits.segmentBytes; position += sectorBytes) {
        if (path === frame.path && position === frame.position) continue;
        expect(await recordsFound(misdirect(disk, frame, path, position)), `${frame.position} to ${position}`).toBe(
          "corrupt",
        );
      }
    }
  });

  test("a copy at another place, where the right one was written too: refused, or harmless", async () => {
    const { disk, frames } = await writtenFrames();
    const frame = frames.at(-1);
    if (frame === undefined) throw new Error("no frame");
    for (const path of [segment(1), segment(2), segment(3)]) {
      for (let position = 0; position < tinyLimits.segmentBytes; position += sectorBytes) {
        const damaged = disk.clone();
        const fitting = Math.min(frame.bytes.length, tinyLimits.segmentBytes - position);
        damaged.overwrite(path, position, frame.bytes.subarray(0, fitting));
        expect(["corrupt", 15]).toContain(await recordsFound(damaged));
      }
    }
  });
});

describe("a frame whose bytes are nowhere in the log's files", () => {
  test("is missed as soon as a later frame stands, in this segment or the next", async () => {
    const { disk, frames } = await writtenFrames();
    for (const frame of frames.slice(0, -1)) {
      const damaged = disk.clone();
      damaged.overwrite(frame.path, frame.position, new Uint8Array(frame.bytes.length));
      expect(await recordsFound(damaged)).toBe("corrupt");
    }
  });

  test("cannot be seen while it is the last: peers alone know of it", async () => {
    const { disk, frames } = await writtenFrames();
    const last = frames.at(-1);
    if (last === undefined) throw new Error("no frame");
    disk.overwrite(last.path, last.position, new Uint8Array(last.bytes.length));
    expect(await recordsFound(disk)).toBe(14);
  });
});
