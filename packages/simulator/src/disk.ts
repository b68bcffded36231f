/**
 * A disk that forgets, deterministically. Written bytes stand in a page cache until synced; names stand in
 * the cached directory until the directory is synced; a crash keeps any subset of both.
 *
 * Granularity is the 512-byte sector, the unit that hardware writes whole or not at all.
 */
import { type Disk, DiskError, type DiskFile, invariant, type Random } from "@quipu/core";
import { DiskDirectory, FileContent } from "./disk-content.ts";

/** One operation as a fault rule sees it, before it takes effect. */
export interface DiskOperation {
  readonly type: "open" | "read" | "write" | "sync" | "list" | "makeDirectory" | "rename" | "remove" | "syncDirectory";
  readonly path: string;
  /** For reads and writes; else 0. */
  readonly position: number;
  /** For reads and writes; else 0. */
  readonly length: number;
  /** Operations on this disk before this one. */
  readonly number: number;
}

/** What goes wrong. A failed sync leaves its pages clean and lost (Rebello et al., ATC 2020). */
export type DiskFault =
  | { readonly type: "error"; readonly code: "EIO" | "ENOSPC" }
  | { readonly type: "shortWrite"; readonly bytes: number }
  /** The drive acknowledges the write and puts it elsewhere in the file. */
  | { readonly type: "misdirectedWrite"; readonly position: number };

export interface SimulatedDiskOptions {
  readonly random: Random;
  /** Runs `action` when the I/O completes: at once, in a microtask, or when the simulator says. */
  readonly complete: (action: () => void) => void;
  /** Asked before every operation; undefined lets it pass. */
  readonly fault?: (operation: DiskOperation) => DiskFault | undefined;
  /** Told that a file's sync begins; what it returns is called when the bytes are durable. */
  readonly onSync?: (path: string) => (() => void) | undefined;
  /** Room for file contents; writes that grow a file past it are short, then ENOSPC. */
  readonly capacityBytes?: number;
}

/** Which unsynced sectors and names a crash keeps. */
export type CrashKeeps = "random" | "all" | "none";

export class SimulatedDisk implements Disk {
  readonly #options: SimulatedDiskOptions;
  readonly #root: DiskDirectory;
  #fault: ((operation: DiskOperation) => DiskFault | undefined) | undefined;
  #capacityBytes: number;
  #operations = 0;
  #crashed = false;

  constructor(options: SimulatedDiskOptions, root: DiskDirectory = new DiskDirectory()) {
    this.#options = options;
    this.#root = root;
    this.#fault = options.fault;
    this.#capacityBytes = options.capacityBytes ?? Number.MAX_SAFE_INTEGER;
  }

  /** Operations asked of this disk so far. */
  get operations(): number {
    return this.#operations;
  }

  set fault(rule: ((operation: DiskOperation) => DiskFault | undefined) | undefined) {
    this.#fault = rule;
  }

  set capacityBytes(bytes: number) {
    this.#capacityBytes = bytes;
  }

  /**
   * Power off. This disk answers nothing any more, not even what was under way; the returned one, without
   * faults, is what the machine finds when it comes up again.
   */
  crash(keeps: CrashKeeps = "random"): SimulatedDisk {
    this.#crashed = true;
    const random = this.#options.random;
    const keep = (): boolean => (keeps === "random" ? random.chance(1, 2) : keeps === "all");
    return this.#with(this.#root.afterCrash(keep, random));
  }

  /** An independent disk with the same contents, cached and durable; for tests that try many endings. */
  clone(): SimulatedDisk {
    return this.#with(this.#root.clone());
  }

  #with(root: DiskDirectory): SimulatedDisk {
    const { random, complete, onSync } = this.#options;
    const observer = onSync === undefined ? {} : { onSync };
    return new SimulatedDisk({ random, complete, capacityBytes: this.#capacityBytes, ...observer }, root);
  }

  // For tests: looking at and damaging what is stored, cached and durable alike.

  /** A copy of the file as a reader would see it. */
  bytes(path: string): Uint8Array {
    return this.#file(path, "look at").bytes();
  }

  /** The file as a crash right now would leave it at least; undefined: it may be gone. */
  durable(path: string): Uint8Array | undefined {
    const parts = partsOf(path);
    const name = parts.pop() ?? "";
    const node = this.#directoryIfThere(parts.join("/"))
      ?.afterCrash(() => false, this.#options.random)
      .get(name);
    return node instanceof FileContent ? node.bytes() : undefined;
  }

  paths(): readonly string[] {
    return this.#root.paths("");
  }

  /** Inverts bit `bit` (counted from the first byte's lowest) of the file. */
  flipBit(path: string, bit: number): void {
    this.#file(path, "damage").patch(bit >>> 3, (byte) => byte ^ (1 << (bit & 7)));
  }

  overwrite(path: string, position: number, bytes: Uint8Array): void {
    const file = this.#file(path, "damage");
    bytes.forEach((byte, i) => file.patch(position + i, () => byte));
  }

  /** Cuts the file to `size` bytes. */
  cut(path: string, size: number): void {
    this.#file(path, "cut").cut(size);
  }

  // The Disk port.

  open(path: string, options: { readonly create: "no" | "new" }): Promise<DiskFile> {
    return this.#operate("open", path, () => {
      const [directory, name] = this.#locate(path, "open");
      const found = directory.get(name);
      if (options.create === "new") {
        if (found !== undefined) throw new DiskError("EEXIST", path, "create");
        directory.change([[name, new FileContent()]]);
      } else if (found === undefined) {
        throw new DiskError("ENOENT", path, "open");
      }
      return new SimulatedFile(this, path, this.#file(path, "open"));
    });
  }

  list(directory: string): Promise<readonly string[]> {
    return this.#operate("list", directory, () => this.#directory(directory, "list").names());
  }

  exists(path: string): Promise<boolean> {
    return this.#operate("list", path, () => {
      const parts = partsOf(path);
      let at: DiskDirectory | FileContent | undefined = this.#root;
      for (const part of parts) at = at instanceof DiskDirectory ? at.get(part) : undefined;
      return at !== undefined;
    });
  }

  makeDirectory(path: string): Promise<void> {
    return this.#operate("makeDirectory", path, () => {
      const [directory, name] = this.#locate(path, "make directory");
      if (directory.get(name) !== undefined) throw new DiskError("EEXIST", path, "make directory");
      directory.change([[name, new DiskDirectory()]]);
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#operate("rename", from, () => {
      const [source, oldName] = this.#locate(from, "rename");
      const [target, newName] = this.#locate(to, "rename");
      const node = source.get(oldName);
      if (node === undefined) throw new DiskError("ENOENT", from, "rename");
      invariant(source === target, `the simulated disk renames within one directory: ${from} -> ${to}`);
      source.change([
        [oldName, undefined],
        [newName, node],
      ]);
    });
  }

  remove(path: string): Promise<void> {
    return this.#operate("remove", path, () => {
      const [directory, name] = this.#locate(path, "remove");
      if (directory.get(name) === undefined) throw new DiskError("ENOENT", path, "remove");
      directory.change([[name, undefined]]);
    });
  }

  syncDirectory(directory: string): Promise<void> {
    const node = this.#directoryIfThere(directory);
    const upTo = node?.changes ?? 0;
    return this.#operate(
      "syncDirectory",
      directory,
      () => this.#directory(directory, "sync"),
      (found) => found.sync(upTo),
    ).then(() => undefined);
  }

  // What SimulatedFile needs.

  /**
   * Runs `effect` now (unless a fault says otherwise) and settles the promise when the scheduler completes
   * the operation, after `atCompletion`. A crash in between loses the answer, and `atCompletion`.
   */
  #operate<Result>(
    type: DiskOperation["type"],
    path: string,
    effect: () => Result,
    atCompletion?: (result: Result) => void,
  ): Promise<Result> {
    return this.operate({ type, path, position: 0, length: 0 }, () => effect(), atCompletion);
  }

  operate<Result>(
    operation: Omit<DiskOperation, "number">,
    effect: (fault: DiskFault | undefined) => Result,
    atCompletion?: (result: Result) => void,
    onError?: () => void,
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#crashed) return;
      const fault = this.#fault?.({ ...operation, number: this.#operations });
      this.#operations++;
      let settle: () => void;
      try {
        if (fault?.type === "error") throw new DiskError(fault.code, operation.path, operation.type);
        const result = effect(fault);
        settle = () => {
          atCompletion?.(result);
          resolve(result);
        };
      } catch (error) {
        onError?.();
        settle = () => reject(error as Error);
      }
      this.#options.complete(() => {
        if (!this.#crashed) settle();
      });
    });
  }

  /** Returns what to call when it is over. */
  syncBegun(path: string): (() => void) | undefined {
    return this.#options.onSync?.(path);
  }

  freeBytes(): number {
    return this.#capacityBytes - this.#root.usedBytes();
  }

  get limited(): boolean {
    return this.#capacityBytes !== Number.MAX_SAFE_INTEGER;
  }

  #locate(path: string, doing: string): [DiskDirectory, string] {
    const parts = partsOf(path);
    const name = parts.pop();
    if (name === undefined) throw new DiskError("EINVAL", path, doing);
    return [this.#directory(parts.join("/"), doing), name];
  }

  #directoryIfThere(path: string): DiskDirectory | undefined {
    let at: DiskDirectory | FileContent | undefined = this.#root;
    for (const part of partsOf(path)) at = at instanceof DiskDirectory ? at.get(part) : undefined;
    return at instanceof DiskDirectory ? at : undefined;
  }

  #directory(path: string, doing: string): DiskDirectory {
    const found = this.#directoryIfThere(path);
    if (found === undefined) throw new DiskError("ENOENT", path, doing);
    return found;
  }

  #file(path: string, doing: string): FileContent {
    const [directory, name] = this.#locate(path, doing);
    const node = directory.get(name);
    if (!(node instanceof FileContent)) throw new DiskError("ENOENT", path, doing);
    return node;
  }
}

class SimulatedFile implements DiskFile {
  readonly #disk: SimulatedDisk;
  readonly #path: string;
  readonly #content: FileContent;
  #closed = false;

  constructor(disk: SimulatedDisk, path: string, content: FileContent) {
    this.#disk = disk;
    this.#path = path;
    this.#content = content;
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return this.#operate("read", position, into.length, () => this.#content.read(into, position));
  }

  write(bytes: Uint8Array, position: number): Promise<number> {
    return this.#operate("write", position, bytes.length, (fault) => {
      let length = fault?.type === "shortWrite" ? Math.min(fault.bytes, bytes.length) : bytes.length;
      const growth = position + length - this.#content.size;
      if (growth > 0 && this.#disk.limited) {
        const missing = growth - this.#disk.freeBytes();
        if (missing > 0) length -= missing;
        if (length <= 0) throw new DiskError("ENOSPC", this.#path, "write");
      }
      this.#content.write(bytes.subarray(0, length), fault?.type === "misdirectedWrite" ? fault.position : position);
      return length;
    });
  }

  sync(): Promise<void> {
    // Only what was written before the call is promised to be durable.
    const upTo = this.#content.writes;
    const done = this.#disk.syncBegun(this.#path);
    return this.#operate(
      "sync",
      0,
      0,
      () => undefined,
      () => {
        this.#content.sync(upTo);
        done?.();
      },
      () => this.#content.loseDirtyPages(),
    );
  }

  async writeAndSync(bytes: Uint8Array, position: number): Promise<number> {
    const written = await this.write(bytes, position);
    if (written === bytes.length) await this.sync();
    return written;
  }

  size(): Promise<number> {
    return this.#operate("list", 0, 0, () => this.#content.size);
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #operate<Result>(
    type: DiskOperation["type"],
    position: number,
    length: number,
    effect: (fault: DiskFault | undefined) => Result,
    atCompletion?: (result: Result) => void,
    onError?: () => void,
  ): Promise<Result> {
    invariant(!this.#closed, `${type} on the closed file ${this.#path}`);
    return this.#disk.operate({ type, path: this.#path, position, length }, effect, atCompletion, onError);
  }
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}
