/**
 * Serves state snapshots to members that need one. One request, one chunk: the requester's window sets the pace. A
 * snapshot is made when somebody asks and none fits, kept while it is asked for, and dropped some time after.
 */
import type { MemberId } from "@quipu/consensus";
import type { Clock } from "@quipu/core";
import type { SnapshotChunk, SnapshotRefused, SnapshotRequest } from "@quipu/protocol";
import { isSameSnapshot, type SnapshotBytes } from "./format.ts";
import type { SnapshotLink, SnapshotSettings } from "./settings.ts";

/** A snapshot with the words of the log on how it goes on above. */
export interface OfferedSnapshot {
  readonly bytes: SnapshotBytes;
  readonly logStart: Uint8Array;
  /** Bytes of records that had been applied then: tells how much log has come since. */
  readonly recordBytesBefore: number;
}

export interface SnapshotSourceOptions {
  readonly shard: number;
  readonly link: Pick<SnapshotLink, "send">;
  readonly clock: Pick<Clock, "monotonicMs" | "setTimer">;
  readonly settings: SnapshotSettings;
  /** Makes a snapshot of at least this position; undefined where there is none, now. Never rejects. */
  readonly make: (atLeast: number) => Promise<OfferedSnapshot | undefined>;
  /** Whether the log still goes on above a snapshot of this position: else it would be of no use. */
  readonly isUseful: (position: number) => boolean;
}

interface Transfer {
  lastMs: number;
  /** What it gets its chunks of. */
  snapshot: OfferedSnapshot | undefined;
  /** The request that waits for the snapshot being made. */
  waiting: SnapshotRequest | undefined;
}

export class SnapshotSource {
  readonly #options: SnapshotSourceOptions;
  /** Oldest first. */
  #kept: OfferedSnapshot[] = [];
  readonly #transfers: Map<MemberId, Transfer> = new Map();
  #isMaking = false;
  #cancelSweep: (() => void) | undefined;
  #closed = false;
  #made = 0;
  #chunksSent = 0;

  constructor(options: SnapshotSourceOptions) {
    this.#options = options;
  }

  get statistics(): { readonly made: number; readonly chunksSent: number; readonly keptBytes: number } {
    return { made: this.#made, chunksSent: this.#chunksSent, keptBytes: this.#keptBytes };
  }

  /** Those that somebody is fetching. */
  get served(): readonly OfferedSnapshot[] {
    const snapshots = [...this.#transfers.values()].map(({ snapshot }) => snapshot);
    return snapshots.filter((snapshot) => snapshot !== undefined);
  }

  onRequest(from: MemberId, request: SnapshotRequest): void {
    if (request.shard !== this.#options.shard || this.#closed) return;
    const transfer = this.#admit(from);
    if (transfer === undefined) {
      this.#refuse(from, request, "busy");
      return;
    }
    const snapshot = this.#find(request, transfer);
    if (snapshot !== undefined) this.#sendChunk(from, request, transfer, snapshot);
    else if (request.totalBytes > 0) this.#refuse(from, request, "unavailable");
    else {
      transfer.waiting = request;
      this.#make(request.atLeast);
    }
  }

  /** The state that these were made of is no good. */
  forget(): void {
    this.#kept = [];
    this.#transfers.clear();
  }

  /** Forgets everything; what is asked later goes unanswered, and the requester turns to somebody else. */
  close(): void {
    this.#closed = true;
    this.#kept = [];
    this.#transfers.clear();
    this.#cancelSweep?.();
  }

  get #keptBytes(): number {
    return this.#kept.reduce((sum, { bytes }) => sum + bytes.totalBytes, 0);
  }

  #admit(from: MemberId): Transfer | undefined {
    const lastMs = this.#options.clock.monotonicMs();
    const known = this.#transfers.get(from);
    if (known !== undefined) {
      known.lastMs = lastMs;
      return known;
    }
    if (this.#transfers.size >= this.#options.settings.transfersMax) return undefined;
    const transfer: Transfer = { lastMs, snapshot: undefined, waiting: undefined };
    this.#transfers.set(from, transfer);
    this.#sweepLater();
    return transfer;
  }

  /** The snapshot that the request goes on with, or, for a new transfer, the newest that is of any use. */
  #find(request: SnapshotRequest, transfer: Transfer): OfferedSnapshot | undefined {
    if (request.totalBytes === 0) {
      return this.#kept.findLast(
        ({ bytes }) => bytes.position >= request.atLeast && this.#options.isUseful(bytes.position),
      );
    }
    const wanted = { ...request, position: request.position as SnapshotBytes["position"] };
    const candidates = transfer.snapshot === undefined ? this.#kept : [transfer.snapshot, ...this.#kept];
    return candidates.find(({ bytes }) => isSameSnapshot(bytes, wanted));
  }

  #sendChunk(from: MemberId, request: SnapshotRequest, transfer: Transfer, snapshot: OfferedSnapshot): void {
    const { bytes, logStart } = snapshot;
    if (request.offset >= bytes.totalBytes) return; // No requester of ours asks for that.
    transfer.snapshot = snapshot;
    transfer.waiting = undefined;
    this.#chunksSent += 1;
    const chunk: SnapshotChunk = {
      type: "snapshotChunk",
      shard: request.shard,
      transfer: request.transfer,
      position: bytes.position,
      totalBytes: bytes.totalBytes,
      checksum: bytes.checksum,
      logStart,
      offset: request.offset,
      data: bytes.read(request.offset, this.#options.settings.chunkBytes),
    };
    this.#options.link.send(from, chunk);
  }

  #refuse(from: MemberId, request: SnapshotRequest, reason: SnapshotRefused["reason"]): void {
    const { shard, transfer } = request;
    this.#options.link.send(from, { type: "snapshotRefused", shard, transfer, reason });
  }

  #make(atLeast: number): void {
    if (this.#isMaking) return;
    this.#isMaking = true;
    void this.#options.make(atLeast).then((snapshot) => {
      this.#isMaking = false;
      if (this.#closed) return;
      if (snapshot !== undefined) this.#made += 1;
      const isKept = snapshot !== undefined && this.#keep(snapshot);
      for (const [from, transfer] of this.#transfers) {
        const request = transfer.waiting;
        if (request === undefined) continue;
        transfer.waiting = undefined;
        if (snapshot === undefined || snapshot.bytes.position < request.atLeast) {
          this.#refuse(from, request, "unavailable");
        } else if (isKept) this.#sendChunk(from, request, transfer, snapshot);
        else this.#refuse(from, request, "busy");
      }
    });
  }

  /** Makes room by dropping what nobody is being served of. False where everything kept is in use. */
  #keep(snapshot: OfferedSnapshot): boolean {
    const { snapshotsMax, keptBytesMax } = this.#options.settings;
    const inUse = new Set([...this.#transfers.values()].map((transfer) => transfer.snapshot));
    const isFull = (): boolean =>
      this.#kept.length >= snapshotsMax || this.#keptBytes + snapshot.bytes.totalBytes > keptBytesMax;
    while (isFull()) {
      const victim = this.#kept.findIndex((kept) => !inUse.has(kept));
      if (victim < 0) return false;
      this.#kept.splice(victim, 1);
    }
    this.#kept.push(snapshot);
    // Whoever asked for it may be gone, and nobody else come who would have it dropped.
    this.#sweepLater();
    return true;
  }

  #sweepLater(): void {
    this.#cancelSweep ??= this.#options.clock.setTimer(this.#options.settings.idleMs / 2, () => {
      this.#cancelSweep = undefined;
      this.#sweep();
    });
  }

  #sweep(): void {
    const { clock, settings } = this.#options;
    const idleSinceMs = clock.monotonicMs() - settings.idleMs;
    for (const [from, transfer] of this.#transfers) {
      if (transfer.lastMs <= idleSinceMs) this.#transfers.delete(from);
    }
    if (this.#transfers.size > 0) this.#sweepLater();
    else this.#kept = [];
  }
}
