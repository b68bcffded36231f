/** What can be told of a frame without decoding it. */

/** Where the type of a message stands in a frame, and the number of a snapshot chunk (docs/decisions/0008). */
const typeAt = 26;
const snapshotChunkType = 39;

export function isSnapshotChunk(frame: Uint8Array): boolean {
  return frame[typeAt] === snapshotChunkType;
}
