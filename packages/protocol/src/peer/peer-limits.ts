/**
 * Limits of what nodes say to each other. The encoder breaks off with an InvariantViolation beyond them: whoever builds
 * messages keeps below. The decoder refuses, before anything is allocated.
 */

/** Headers and body. Above any batch of records and any snapshot chunk; a network buffers a few of these per peer. */
export const peerFrameBytesMax: number = 16 * 1024 * 1024;

/** In one AppendEntries or Forward: so that a frame of tiny entries is no more than some MiB of objects. */
export const peerEntriesMax = 65_536;

/**
 * Of an encoded group state: it stands at the head of each segment of the write-ahead log, for every group. The largest
 * configuration (`membersMax` of consensus) takes a quarter.
 */
export const groupStateBytesMax = 1024;

/** Data of one SnapshotChunk: copied and checked within a few milliseconds, so that heartbeats are not late. */
export const snapshotChunkBytesMax: number = 4 * 1024 * 1024;

/** What an engine says of where its log goes on: a log start, or what another engine needs in its place. */
export const logStartBytesMax: number = 4096;

/** In one StateHashes: the newest are enough, and it is sent once a second. */
export const stateHashesMax = 64;

/** Ids chosen at random (cells, streams, transfers) are below this: exact as numbers, six bytes. */
export const randomIdEnd: number = 2 ** 48;
