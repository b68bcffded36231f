/**
 * Pulls a state snapshot from a peer, chunk by chunk: asks again for what does not come, turns to another peer where one
 * falls silent, goes on there if it has the very same snapshot (position, length and checksum), else begins anew.
 *
 * Memory: one snapshot, of at most `snapshotBytesMax` bytes.
 */
import type { MemberId } from "@quipu/consensus";
import { type Clock, invariant, type Lsn, QuipuError, type Random } from "@quipu/core";
import { randomIdEnd, type SnapshotChunk, type SnapshotRefused } from "@quipu/protocol";
import { Assembly } from "./assembly.ts";
import { isSameSnapshot, type SnapshotIdentity } from "./format.ts";
import type { SnapshotLink, SnapshotSettings } from "./settings.ts";

/** Of one snapshot, so that the table of those that have come stays small: a gigabyte in pieces of a kilobyte. */
const chunksMax = 1024 * 1024;

export interface FetchedSnapshot {
  readonly position: Lsn;
  readonly bytes: Uint8Array;
  /** How the log goes on above it; opaque. */
  readonly logStart: Uint8Array;
}

export interface SnapshotFetcherOptions {
  readonly shard: number;
  readonly link: Pick<SnapshotLink, "member" | "peers" | "send">;
  readonly clock: Pick<Clock, "monotonicMs" | "setTimer">;
  readonly random: Random;
  readonly settings: SnapshotSettings;
  /** Tests only: checksums and offsets are ignored. */
  readonly isUnchecked?: boolean;
}

export interface SnapshotFetcherStatistics {
  readonly fetched: number;
  /** Chunks that were not what was asked for. */
  readonly strayChunks: number;
  /** Whole snapshots whose checksum did not match. */
  readonly damaged: number;
  readonly peersLeft: number;
  /** Chunks asked for again. */
  readonly repeats: number;
}

interface Asked {
  readonly atMs: number;
  /** Before this time: each makes the wait for an answer twice as long, up to a limit. */
  readonly times: number;
}

/** A chunk is asked for again after up to this many times the time that it is first waited for. */
const timeoutFactorMax = 4;

interface Fetch {
  readonly atLeast: number;
  readonly resolve: (snapshot: FetchedSnapshot) => void;
  readonly reject: (error: QuipuError) => void;
  peer: MemberId;
  /** One for the whole fetch: what a slow peer sends after we have turned to another is still of use. */
  readonly transfer: number;
  /** Since when nothing of use came from this peer. */
  silentSinceMs: number;
  assembly: Assembly | undefined;
  /** Peers left since the last chunk of use: once around, what came so far is worth nothing. */
  peersLeft: number;
  /** By offset, the chunks asked for; with no assembly yet, 0 stands for the first chunk of any snapshot. */
  readonly asked: Map<number, Asked>;
}

export class SnapshotFetcher {
  readonly #options: SnapshotFetcherOptions;
  #fetch: Fetch | undefined;
  #cancelTimer: (() => void) | undefined;
  readonly #counts = { fetched: 0, strayChunks: 0, damaged: 0, peersLeft: 0, repeats: 0 };

  constructor(options: SnapshotFetcherOptions) {
    this.#options = options;
  }

  get statistics(): SnapshotFetcherStatistics {
    return { ...this.#counts };
  }

  /** A snapshot of `atLeast` or later, first asked of `source`. One at a time; rejects only when it is cancelled. */
  fetch(source: MemberId, atLeast: number): Promise<FetchedSnapshot> {
    invariant(this.#fetch === undefined, "two snapshots are fetched at once");
    return new Promise((resolve, reject) => {
      this.#fetch = {
        atLeast,
        resolve,
        reject,
        peer: source,
        transfer: this.#newTransfer(),
        silentSinceMs: this.#options.clock.monotonicMs(),
        assembly: undefined,
        peersLeft: 0,
        asked: new Map(),
      };
      this.#askMore(this.#fetch);
      this.#tickLater();
    });
  }

  cancel(reason: QuipuError): void {
    const fetch = this.#fetch;
    this.#end();
    fetch?.reject(reason);
  }

  onChunk(from: MemberId, chunk: SnapshotChunk): void {
    const fetch = this.#fetch;
    if (fetch === undefined || !this.#isOf(fetch, chunk)) return;
    fetch.assembly ??= this.#begin(fetch, chunk);
    const { assembly } = fetch;
    const isSame =
      assembly !== undefined && (this.#isUnchecked || isSameSnapshot(assembly.snapshot, identityOf(chunk)));
    if (!isSame || !assembly.add(chunk.offset, chunk.data)) {
      this.#counts.strayChunks += 1;
      return;
    }
    fetch.asked.delete(chunk.offset);
    fetch.peer = from;
    fetch.silentSinceMs = this.#options.clock.monotonicMs();
    fetch.peersLeft = 0;
    if (!assembly.isComplete) this.#askMore(fetch);
    else if (assembly.isSound) this.#succeed(fetch, assembly);
    else this.#startOver(fetch);
  }

  onRefused(from: MemberId, refused: SnapshotRefused): void {
    const fetch = this.#fetch;
    if (fetch === undefined || !this.#isOf(fetch, refused) || from !== fetch.peer) return;
    // Not at once: where all peers refuse, that would be a storm of requests. The timer goes on to the next.
    fetch.silentSinceMs = Number.NEGATIVE_INFINITY;
  }

  get #isUnchecked(): boolean {
    return this.#options.isUnchecked === true;
  }

  #isOf(fetch: Fetch, message: { readonly shard: number; readonly transfer: number }): boolean {
    const isOurs = message.transfer === fetch.transfer || this.#isUnchecked;
    return isOurs && message.shard === this.#options.shard;
  }

  /** The first chunk that comes says what snapshot it is; undefined if it is none that we can take. */
  #begin(fetch: Fetch, chunk: SnapshotChunk): Assembly | undefined {
    const { snapshotBytesMax } = this.#options.settings;
    const { position, totalBytes, offset, data } = chunk;
    const isUsable = position >= fetch.atLeast && totalBytes <= snapshotBytesMax && offset === 0;
    if (!isUsable || data.length === 0 || data.length > totalBytes) return undefined;
    if (totalBytes / data.length > chunksMax) return undefined;
    return new Assembly(chunk, this.#isUnchecked);
  }

  #askMore(fetch: Fetch): void {
    const { assembly, asked } = fetch;
    if (assembly === undefined) {
      if (!asked.has(0)) this.#ask(fetch, 0);
      return;
    }
    const room = this.#options.settings.windowChunks - asked.size;
    for (const offset of assembly.missing(room, (at) => asked.has(at))) this.#ask(fetch, offset);
  }

  #ask(fetch: Fetch, offset: number): void {
    const times = (fetch.asked.get(offset)?.times ?? -1) + 1;
    fetch.asked.set(offset, { atMs: this.#options.clock.monotonicMs(), times });
    const { position, totalBytes, checksum } = fetch.assembly?.snapshot ?? { position: 0, totalBytes: 0, checksum: 0 };
    const { transfer, atLeast } = fetch;
    this.#options.link.send(fetch.peer, {
      type: "snapshotRequest",
      shard: this.#options.shard,
      transfer,
      atLeast,
      position,
      totalBytes,
      checksum,
      offset,
    });
  }

  #tickLater(): void {
    const { clock, settings } = this.#options;
    this.#cancelTimer = clock.setTimer(settings.chunkTimeoutMs / 2, () => {
      const fetch = this.#fetch;
      if (fetch === undefined) return;
      this.#tick(fetch);
      this.#tickLater();
    });
  }

  #tick(fetch: Fetch): void {
    const { clock, settings } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs - fetch.silentSinceMs >= settings.peerPatienceMs) this.#nextPeer(fetch);
    for (const [offset, { atMs, times }] of fetch.asked) {
      if (nowMs - atMs < settings.chunkTimeoutMs * Math.min(2 ** times, timeoutFactorMax)) continue;
      this.#counts.repeats += 1;
      this.#ask(fetch, offset);
    }
    this.#askMore(fetch);
  }

  #nextPeer(fetch: Fetch): void {
    const peers = this.#options.link.peers().filter((peer) => peer !== this.#options.link.member);
    this.#counts.peersLeft += 1;
    fetch.peersLeft += 1;
    // Nobody else has the same one, or nobody answers: begin anew with whoever does.
    if (fetch.peersLeft >= Math.max(peers.length, 1)) fetch.assembly = undefined;
    fetch.peer = peers.find((peer) => peer > fetch.peer) ?? peers[0] ?? fetch.peer;
    fetch.silentSinceMs = this.#options.clock.monotonicMs();
    fetch.asked.clear();
  }

  /** All of it came, and it is not what it should be: nothing of it, and nothing that still comes of it, is of use. */
  #startOver(fetch: Fetch): void {
    this.#counts.damaged += 1;
    const fresh: Fetch = { ...fetch, transfer: this.#newTransfer(), assembly: undefined };
    this.#fetch = fresh;
    this.#nextPeer(fresh);
    this.#askMore(fresh);
  }

  #succeed(fetch: Fetch, { snapshot, bytes, logStart }: Assembly): void {
    this.#counts.fetched += 1;
    this.#end();
    fetch.resolve({ position: snapshot.position, bytes, logStart });
  }

  #end(): void {
    this.#fetch = undefined;
    this.#cancelTimer?.();
  }

  #newTransfer(): number {
    const { random } = this.#options;
    return random.below(randomIdEnd / 2 ** 32) * 2 ** 32 + random.uint32();
  }
}

function identityOf(chunk: SnapshotChunk): SnapshotIdentity {
  const { position, totalBytes, checksum } = chunk;
  return { position: position as Lsn, totalBytes, checksum };
}
