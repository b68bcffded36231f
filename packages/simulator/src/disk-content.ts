/** What a simulated disk stores: files and directories, each as the cache shows it and as a crash would. */
import type { Random } from "@quipu/core";

/** What hardware writes whole or not at all. */
export const sectorBytes = 512;

export class FileContent {
  /** What a reader sees. Bytes past #size are zero. */
  #cached: Uint8Array = new Uint8Array(sectorBytes);
  /** What a crash is sure to keep; same capacity as #cached. */
  #durable: Uint8Array = new Uint8Array(sectorBytes);
  #size = 0;
  #durableSize = 0;
  /** Unsynced sectors, each with the number of the write that touched it last. */
  readonly #dirty: Map<number, number> = new Map();
  #writes = 0;

  get size(): number {
    return this.#size;
  }

  /** Writes so far, to say which of them a sync covers. */
  get writes(): number {
    return this.#writes;
  }

  bytes(): Uint8Array {
    return this.#cached.slice(0, this.#size);
  }

  read(into: Uint8Array, position: number): number {
    const count = Math.max(0, Math.min(into.length, this.#size - position));
    into.set(this.#cached.subarray(position, position + count));
    return count;
  }

  write(bytes: Uint8Array, position: number): void {
    if (bytes.length === 0) return;
    this.#reserve(position + bytes.length);
    this.#writes++;
    this.#cached.set(bytes, position);
    this.#size = Math.max(this.#size, position + bytes.length);
    const last = Math.floor((position + bytes.length - 1) / sectorBytes);
    for (let sector = Math.floor(position / sectorBytes); sector <= last; sector++) {
      this.#dirty.set(sector, this.#writes);
    }
  }

  /** Sectors last touched by write `upTo` or earlier become durable, and the size. */
  sync(upTo: number): void {
    for (const [sector, write] of this.#dirty) {
      if (write <= upTo) {
        this.#settle(sector);
        this.#dirty.delete(sector);
      }
    }
    this.#durableSize = this.#size;
  }

  /** A failed sync: the pages are marked clean, readers still see them, a crash loses them. */
  loseDirtyPages(): void {
    this.#dirty.clear();
  }

  /** Changes one byte, cached and durable. */
  patch(position: number, change: (byte: number) => number): void {
    this.#reserve(position + 1);
    this.#cached[position] = change(this.#cached[position] ?? 0);
    this.#durable[position] = change(this.#durable[position] ?? 0);
  }

  cut(size: number): void {
    this.#cached.fill(0, size);
    this.#durable.fill(0, size);
    this.#size = Math.min(this.#size, size);
    this.#durableSize = Math.min(this.#durableSize, size);
  }

  /** Any subset of the dirty sectors, and any size between the durable and the cached one. */
  afterCrash(keep: () => boolean, random: Random): FileContent {
    const after = new FileContent();
    after.#reserve(this.#cached.length);
    after.#cached.set(this.#durable);
    for (const sector of this.#dirty.keys()) {
      const from = sector * sectorBytes;
      if (keep()) after.#cached.set(this.#cached.subarray(from, from + sectorBytes), from);
    }
    const grown = this.#size - this.#durableSize;
    let size = this.#durableSize;
    if (grown > 0) size += keep() ? grown : keep() ? random.below(grown) : 0;
    after.#cached.fill(0, size);
    after.#durable.set(after.#cached);
    after.#size = size;
    after.#durableSize = size;
    return after;
  }

  clone(): FileContent {
    const copy = new FileContent();
    copy.#cached = this.#cached.slice();
    copy.#durable = this.#durable.slice();
    copy.#size = this.#size;
    copy.#durableSize = this.#durableSize;
    copy.#writes = this.#writes;
    for (const [sector, write] of this.#dirty) copy.#dirty.set(sector, write);
    return copy;
  }

  #settle(sector: number): void {
    const from = sector * sectorBytes;
    this.#durable.set(this.#cached.subarray(from, from + sectorBytes), from);
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#cached.length) return;
    const capacity = Math.max(Math.ceil(bytes / sectorBytes) * sectorBytes, this.#cached.length * 2);
    const cached = new Uint8Array(capacity);
    cached.set(this.#cached);
    this.#cached = cached;
    const durable = new Uint8Array(capacity);
    durable.set(this.#durable);
    this.#durable = durable;
  }
}

type DiskNode = DiskDirectory | FileContent;

/** Names set (or, undefined, removed) by one operation: a rename takes effect whole or not at all. */
type NameChange = readonly (readonly [string, DiskNode | undefined])[];

export class DiskDirectory {
  readonly #cached: Map<string, DiskNode> = new Map();
  readonly #durable: Map<string, DiskNode> = new Map();
  /** Changes since the last sync, oldest first. */
  #unsynced: NameChange[] = [];
  /** Changes ever made. */
  changes = 0;

  get(name: string): DiskNode | undefined {
    return this.#cached.get(name);
  }

  names(): readonly string[] {
    return [...this.#cached.keys()].sort();
  }

  change(change: NameChange): void {
    apply(this.#cached, change);
    this.#unsynced.push(change);
    this.changes++;
  }

  /** The first `upTo` changes ever made become durable. */
  sync(upTo: number): void {
    const count = Math.max(0, upTo - (this.changes - this.#unsynced.length));
    for (const change of this.#unsynced.slice(0, count)) apply(this.#durable, change);
    this.#unsynced = this.#unsynced.slice(count);
  }

  afterCrash(keep: () => boolean, random: Random): DiskDirectory {
    for (const change of this.#unsynced) if (keep()) apply(this.#durable, change);
    const after = new DiskDirectory();
    const copies = new Map<DiskNode, DiskNode>();
    for (const [name, node] of [...this.#durable].sort(byName)) {
      const copy = copies.get(node) ?? node.afterCrash(keep, random);
      copies.set(node, copy);
      after.#durable.set(name, copy);
      after.#cached.set(name, copy);
    }
    return after;
  }

  clone(): DiskDirectory {
    const copies = new Map<DiskNode, DiskNode>();
    const copyOf = (node: DiskNode): DiskNode => {
      const copy = copies.get(node) ?? node.clone();
      copies.set(node, copy);
      return copy;
    };
    const after = new DiskDirectory();
    for (const [name, node] of this.#cached) after.#cached.set(name, copyOf(node));
    for (const [name, node] of this.#durable) after.#durable.set(name, copyOf(node));
    after.#unsynced = this.#unsynced.map((change) =>
      change.map(([name, node]) => [name, node && copyOf(node)] as const),
    );
    after.changes = this.changes;
    return after;
  }

  usedBytes(): number {
    let sum = 0;
    for (const node of this.#cached.values()) sum += node instanceof FileContent ? node.size : node.usedBytes();
    return sum;
  }

  paths(prefix: string): readonly string[] {
    return [...this.#cached]
      .sort(byName)
      .flatMap(([name, node]) => (node instanceof FileContent ? [prefix + name] : node.paths(`${prefix}${name}/`)));
  }
}

function apply(names: Map<string, DiskNode>, change: NameChange): void {
  for (const [name, node] of change) {
    if (node === undefined) names.delete(name);
    else names.set(name, node);
  }
}

/** By code units, as everywhere: a locale's order would differ between machines. */
function byName(left: readonly [string, unknown], right: readonly [string, unknown]): number {
  return left[0] < right[0] ? -1 : left[0] > right[0] ? 1 : 0;
}
