/** Blobs: a node each, spread over buckets by a hash of the name, so that no list of names grows long. */
import { invariant } from "@quipu/core";
import type { BlobStore } from "@quipu/log";
import type { Client } from "./client.ts";
import { blobBuckets, blobPath, type Layout, noValue, unescapeName } from "./layout.ts";
import { code } from "./wire/protocol.ts";

/** Somebody else may put or remove the same blob at the same time; who loses so often has met something else. */
const putAttemptsMax = 10;

export class ZooKeeperBlobs implements BlobStore {
  readonly #client: () => Promise<Client>;
  readonly #layout: Layout;
  readonly #valueBytesMax: number;

  /** `client` resolves when the prefix is known to be ours. */
  constructor(client: () => Promise<Client>, layout: Layout, valueBytesMax: number) {
    this.#client = client;
    this.#layout = layout;
    this.#valueBytesMax = valueBytesMax;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    invariant(bytes.length <= this.#valueBytesMax, `a blob of ${bytes.length} bytes`);
    const client = await this.#client();
    const { bucket, path } = blobPath(this.#layout, name);
    for (let attempt = 0; attempt < putAttemptsMax; attempt++) {
      const created = await client.createSurely(path, bytes);
      if (created === code.ok) return;
      if (created === code.noNode) {
        const made = await client.createSurely(bucket, noValue);
        if (made === code.noNode) throw client.error("LOG_CORRUPT", `${this.#layout.blobs} is missing`);
      } else if ((await client.setSurely(path, bytes)) === code.ok) return;
    }
    throw client.error("LOG_CORRUPT", `${path} comes and goes: somebody else is at it`);
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    const client = await this.#client();
    const { path } = blobPath(this.#layout, name);
    const [node] = await client.readLatest(this.#layout.format, [path]);
    return node?.value;
  }

  async remove(name: string): Promise<void> {
    const client = await this.#client();
    const { path } = blobPath(this.#layout, name);
    const [removed] = await client.removeEach([path]);
    if (removed === code.ok || removed === code.noNode) return;
    throw client.error("LOG_CORRUPT", `${path} has nodes below it that are not ours`);
  }

  async list(prefix: string): Promise<readonly string[]> {
    const client = await this.#client();
    const buckets = blobBuckets(this.#layout);
    const found = await client.listLatest(this.#layout.format, buckets);
    const names = found.flatMap((children, place) =>
      (children ?? []).map((child) => {
        const name = unescapeName(child);
        if (name !== undefined) return name;
        throw client.error("LOG_CORRUPT", `${buckets[place]}/${child} is not a blob of ours`);
      }),
    );
    return names.filter((name) => name.startsWith(prefix)).sort();
  }
}
