/** Frames between nodes: every message comes back as it went, and nothing else comes through. */
import { decodePeerFrame, encodePeerFrame } from "@quipu/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { peerFrames } from "./peer-arbitraries.ts";

describe("round trips", () => {
  test("what is encoded is decoded, and is the only encoding", () => {
    fc.assert(
      fc.property(peerFrames, (frame) => {
        const bytes = encodePeerFrame(frame);
        const decoded = decodePeerFrame(bytes);
        expect(decoded).toEqual(frame);
        if (decoded !== undefined) expect(encodePeerFrame(decoded)).toEqual(bytes);
      }),
      { numRuns: 1000 },
    );
  });
});
