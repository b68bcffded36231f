/**
 * State snapshots in a blob store: what a new node starts from where the log is kept by a service, and no other node need
 * be there to ask.
 *
 *     PREFIX POSITION-TOKEN/000000 …   chunks, all but the last of the same size
 *     PREFIX POSITION-TOKEN/manifest   put last: with it the snapshot is published
 *
 * A snapshot without a manifest is being written by somebody, or was left half-made.
 */
import { type Clock, lsn, type Lsn, QuipuError, type Random } from "@quipu/core";
import type { BlobStore } from "@quipu/log";
import type { SnapshotIdentity } from "./format.ts";
import { decodeManifest, encodeManifest, type Manifest } from "./manifest.ts";
import type { OfferedSnapshot } from "./source.ts";

export interface SnapshotRepositoryOptions {
  readonly blobs: BlobStore;
  /** Most bytes of one blob. */
  readonly valueBytesMax: number;
  /** Of the names; ends with a slash. */
  readonly prefix: string;
  readonly clock: Pick<Clock, "monotonicMs" | "setTimer">;
  readonly random: Random;
}

/** What is there of one snapshot. */
export interface StoredSnapshot {
  readonly id: string;
  readonly position: Lsn;
  readonly chunks: number;
  readonly isPublished: boolean;
}

/** Chunks stay below this even where a service would take more: a large request holds up the appends of others. */
const chunkBytesMax = 512 * 1024;
/** The newest, and one that somebody may be fetching. */
const keptMax = 2;
/** One that nobody has added to for so long will not be finished. */
const abandonedMs = 60_000;

const manifestName = "manifest";
const namePattern = /^((\d{16})-[0-9a-f]{8})\/(?:manifest|\d{6})$/;

export class SnapshotRepository {
  readonly #options: SnapshotRepositoryOptions;
  /** Manifests never change. */
  readonly #manifests: Map<string, Manifest> = new Map();
  /** Unfinished ones, and since when they have so many chunks. */
  #growing: Map<string, { readonly chunks: number; readonly sinceMs: number }> = new Map();

  constructor(options: SnapshotRepositoryOptions) {
    this.#options = options;
  }

  /** Everything that is there, oldest first. Rejects as the service does; so do all others. */
  async survey(): Promise<readonly StoredSnapshot[]> {
    const { blobs, prefix, clock } = this.#options;
    const found = new Map<string, StoredSnapshot>();
    for (const name of await blobs.list(prefix)) {
      const match = namePattern.exec(name.slice(prefix.length));
      const [, id, position] = match ?? [];
      if (id === undefined) continue;
      const isManifest = name.endsWith(manifestName);
      const before = found.get(id);
      found.set(id, {
        id,
        position: lsn(Number(position)),
        chunks: (before?.chunks ?? 0) + (isManifest ? 0 : 1),
        isPublished: isManifest || before?.isPublished === true,
      });
    }
    const all = [...found.values()].sort((left, right) => (left.id < right.id ? -1 : 1));
    const nowMs = clock.monotonicMs();
    const growing = all.filter(({ isPublished }) => !isPublished);
    this.#growing = new Map(
      growing.map(({ id, chunks }) => {
        const known = this.#growing.get(id);
        return [id, known?.chunks === chunks ? known : { chunks, sinceMs: nowMs }];
      }),
    );
    for (const id of this.#manifests.keys()) if (found.get(id)?.isPublished !== true) this.#manifests.delete(id);
    return all;
  }

  /** Position of the newest published one; 0: there is none. */
  async newestPosition(): Promise<Lsn> {
    const newest = (await this.survey()).findLast(({ isPublished }) => isPublished);
    return newest?.position ?? lsn(0);
  }

  /** Somebody is at work on one that this node has not given up for dead. */
  isGrowing({ id, isPublished }: StoredSnapshot): boolean {
    const seen = this.#growing.get(id);
    if (isPublished || seen === undefined) return false;
    return this.#options.clock.monotonicMs() - seen.sinceMs < abandonedMs;
  }

  /**
   * Puts it there. False: somebody else is about to publish another; nothing of ours is left. Where it rejects, what was
   * put is taken away again as far as possible; the rest goes when it is found abandoned.
   */
  async publish({ bytes, logStart }: OfferedSnapshot): Promise<boolean> {
    const { valueBytesMax, random } = this.#options;
    const { position, totalBytes, checksum } = bytes;
    const token = random.uint32().toString(16).padStart(8, "0");
    const id = `${String(position).padStart(16, "0")}-${token}`;
    const chunkBytes = Math.min(valueBytesMax, chunkBytesMax);
    try {
      for (let offset = 0; offset < totalBytes; offset += chunkBytes) {
        await this.#putGently(this.#chunkName(id, offset / chunkBytes), bytes.read(offset, chunkBytes));
        // Two may have begun in the same moment: of those that then see each other the lower name goes on.
        if (offset === 0 && (await this.#mustYield(id))) {
          await this.#remove(id, Math.ceil(totalBytes / chunkBytes));
          return false;
        }
      }
      const manifest = encodeManifest({ position, totalBytes, checksum, chunkBytes, logStart });
      await this.#options.blobs.put(this.#nameOf(id, manifestName), manifest);
      return true;
    } catch (error) {
      await this.#remove(id, Math.ceil(totalBytes / chunkBytes)).catch(() => undefined);
      throw error;
    }
  }

  /** Removes what is old, and what was left half-made. */
  async tidy(): Promise<void> {
    const all = await this.survey();
    const kept = all.filter(({ isPublished }) => isPublished).slice(-keptMax);
    for (const stored of all) {
      if (kept.includes(stored) || this.isGrowing(stored)) continue;
      await this.#remove(stored.id, undefined);
    }
  }

  /** Removes everything. */
  async clear(): Promise<void> {
    for (const { id } of await this.survey()) await this.#remove(id, undefined);
  }

  /** The newest published one of `atLeast` or later; undefined: there is none. Rejects with STORE_CORRUPT if it is damaged. */
  async newest(atLeast: number): Promise<{ readonly id: string; readonly manifest: Manifest } | undefined> {
    const stored = (await this.survey()).findLast(({ isPublished }) => isPublished);
    if (stored === undefined || stored.position < atLeast) return undefined;
    const manifest = await this.#manifest(stored.id);
    return manifest === undefined ? undefined : { id: stored.id, manifest };
  }

  /** That very snapshot, if it has been looked at before. */
  known(wanted: SnapshotIdentity): { readonly id: string; readonly manifest: Manifest } | undefined {
    for (const [id, manifest] of this.#manifests) {
      const { position, totalBytes, checksum } = manifest;
      if (position === wanted.position && totalBytes === wanted.totalBytes && checksum === wanted.checksum) {
        return { id, manifest };
      }
    }
    return undefined;
  }

  /** The chunk that begins at `offset`; undefined: it is gone, or none begins there. */
  async chunk(id: string, { chunkBytes }: Manifest, offset: number): Promise<Uint8Array | undefined> {
    if (offset % chunkBytes !== 0) return undefined;
    return await this.#options.blobs.get(this.#chunkName(id, offset / chunkBytes));
  }

  async #manifest(id: string): Promise<Manifest | undefined> {
    const known = this.#manifests.get(id);
    if (known !== undefined) return known;
    const bytes = await this.#options.blobs.get(this.#nameOf(id, manifestName));
    if (bytes === undefined) return undefined; // Removed since.
    const manifest = decodeManifest(bytes);
    if (manifest === undefined) throw new QuipuError("STORE_CORRUPT", `the manifest of snapshot ${id} does not decode`);
    this.#manifests.set(id, manifest);
    return manifest;
  }

  async #mustYield(own: string): Promise<boolean> {
    const all = await this.survey();
    return all.some((stored) => stored.id < own && this.isGrowing(stored));
  }

  /** Half of the time is left to others who write there. */
  async #putGently(name: string, bytes: Uint8Array): Promise<void> {
    const { blobs, clock } = this.#options;
    const startMs = clock.monotonicMs();
    await blobs.put(name, bytes);
    const tookMs = clock.monotonicMs() - startMs;
    if (tookMs >= 1) await new Promise<void>((resolve) => void clock.setTimer(tookMs, resolve));
  }

  /** First the manifest: what is left of a removal cut short is no snapshot. `chunks` undefined: those that are there. */
  async #remove(id: string, chunks: number | undefined): Promise<void> {
    const { blobs } = this.#options;
    await blobs.remove(this.#nameOf(id, manifestName));
    const names =
      chunks === undefined
        ? await blobs.list(this.#nameOf(id, ""))
        : Array.from({ length: chunks }, (_, chunk) => this.#chunkName(id, chunk));
    for (const name of names) await blobs.remove(name);
  }

  #chunkName(id: string, chunk: number): string {
    return this.#nameOf(id, String(chunk).padStart(6, "0"));
  }

  #nameOf(id: string, name: string): string {
    return `${this.#options.prefix}${id}/${name}`;
  }
}
