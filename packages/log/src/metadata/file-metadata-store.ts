/**
 * The metadata store of a single process: one small file, replaced whole. A change is written under a
 * temporary name, synced, renamed over the old one, and the directory synced, so a crash leaves the old
 * file or the new one. That no other process writes is the business of the data directory's lock.
 *
 * Layout, little-endian: "QMD1", CRC-32 of the rest, then for each register
 * u32 key length, key (UTF-8), f64 version, u32 value length, value.
 */
import { crc32 } from "node:zlib";
import { type Disk, DiskError, type DiskFile, QuipuError } from "@quipu/core";
import type { MetadataStore } from "../loglet.ts";
import { isDiskFull, readFully, writeAllAndSync } from "../write-ahead-log/segment.ts";

const magic = 0x31444d51;
const headerBytes = 8;

/** Chains and maps are kilobytes; whoever puts more here has mistaken it for a database. */
const fileBytesMax = 1024 * 1024;

interface Register {
  readonly version: number;
  readonly value: Uint8Array;
}

class FileMetadataStore implements MetadataStore {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #path: string;
  readonly #onFatal: (error: unknown) => void;
  #registers: ReadonlyMap<string, Register>;
  /** Changes go one after another: each replaces the whole file. */
  #queue: Promise<unknown> = Promise.resolve();
  #failed: QuipuError | undefined;

  constructor(
    disk: Disk,
    directory: string,
    path: string,
    registers: ReadonlyMap<string, Register>,
    onFatal: (error: unknown) => void,
  ) {
    this.#onFatal = onFatal;
    this.#disk = disk;
    this.#directory = directory;
    this.#path = path;
    this.#registers = registers;
  }

  get(key: string): Promise<Register | undefined> {
    // Behind changes under way, so that an answer covers every change that was acknowledged before.
    return this.#next(() => Promise.resolve(this.#registers.get(key)));
  }

  compareAndSet(key: string, expectedVersion: number, value: Uint8Array): Promise<boolean> {
    return this.#next(async () => {
      if ((this.#registers.get(key)?.version ?? 0) !== expectedVersion) return false;
      const registers = new Map(this.#registers);
      registers.set(key, { version: expectedVersion + 1, value: value.slice() });
      await this.#replace(encode(registers));
      this.#registers = registers;
      return true;
    });
  }

  async close(): Promise<void> {
    await this.#queue.catch(() => undefined);
  }

  #next<Result>(action: () => Promise<Result>): Promise<Result> {
    const result = this.#queue.then(() => {
      if (this.#failed !== undefined) throw this.#failed;
      return action();
    });
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #replace(bytes: Uint8Array): Promise<void> {
    if (bytes.length > fileBytesMax) {
      throw new QuipuError("VALUE_TOO_LARGE", `${this.#path} would have ${bytes.length} bytes`);
    }
    const temporary = `${this.#path}.new`;
    let file: DiskFile | undefined;
    try {
      if (await this.#disk.exists(temporary)) await this.#disk.remove(temporary);
      file = await this.#disk.open(temporary, { create: "new" });
      await writeAllAndSync(file, temporary, bytes, 0);
      await file.close();
      await this.#disk.rename(temporary, this.#path);
      await this.#disk.syncDirectory(this.#directory);
    } catch (error) {
      await file?.close();
      if (isDiskFull(error))
        throw new QuipuError("DISK_FULL", `the disk is full: no room to replace ${this.#path}. Free space`, {
          cause: error,
        });
      // Whether the new file is in place is not known any more; only the next start will tell.
      this.#failed = new QuipuError("DISK_FAILED", `could not replace ${this.#path}: ${String(error)}`, {
        cause: error,
      });
      this.#onFatal(this.#failed);
      throw this.#failed;
    }
  }
}

/** Its name in the directory. */
const fileName = "metadata";

/**
 * Opens the file in `directory`, which exists. Rejects with LOG_CORRUPT where its checksum does not match. `onFatal`
 * is called when a replacement failed half-way: a chain that cannot change any more may leave the log sealed for good,
 * so production ends the process, and the next start reads what is there.
 */
export async function fileMetadataStore(
  disk: Disk,
  directory: string,
  onFatal: (error: unknown) => void = () => undefined,
): Promise<MetadataStore> {
  const path = `${directory}/${fileName}`;
  return new FileMetadataStore(disk, directory, path, await load(disk, path), onFatal);
}

async function load(disk: Disk, path: string): Promise<ReadonlyMap<string, Register>> {
  let file: DiskFile;
  try {
    file = await disk.open(path, { create: "no" });
  } catch (error) {
    if (error instanceof DiskError && error.code === "ENOENT") return new Map();
    throw error;
  }
  try {
    const size = await file.size();
    if (size > fileBytesMax) throw damaged(path, `${size} bytes are more than it ever has`);
    const bytes = new Uint8Array(size);
    await readFully(file, bytes, 0);
    return decode(path, bytes);
  } finally {
    await file.close();
  }
}

function encode(registers: ReadonlyMap<string, Register>): Uint8Array {
  const encoder = new TextEncoder();
  const entries = [...registers].map(([key, register]) => ({ key: encoder.encode(key), ...register }));
  const size = entries.reduce((sum, { key, value }) => sum + 16 + key.length + value.length, headerBytes);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let at = headerBytes;
  for (const { key, version, value } of entries) {
    view.setUint32(at, key.length, true);
    bytes.set(key, at + 4);
    at += 4 + key.length;
    view.setFloat64(at, version, true);
    view.setUint32(at + 8, value.length, true);
    bytes.set(value, at + 12);
    at += 12 + value.length;
  }
  view.setUint32(0, magic, true);
  view.setUint32(4, crc32(bytes.subarray(headerBytes)), true);
  return bytes;
}

function decode(path: string, bytes: Uint8Array): ReadonlyMap<string, Register> {
  const view = new DataView(bytes.buffer);
  if (bytes.length < headerBytes || view.getUint32(0, true) !== magic) throw damaged(path, "not a metadata file");
  if (view.getUint32(4, true) !== crc32(bytes.subarray(headerBytes)))
    throw damaged(path, "the checksum does not match");
  const decoder = new TextDecoder();
  const registers = new Map<string, Register>();
  // Checksummed as a whole: lengths are what encode() wrote.
  for (let at = headerBytes; at < bytes.length;) {
    const keyEnd = at + 4 + view.getUint32(at, true);
    const key = decoder.decode(bytes.subarray(at + 4, keyEnd));
    const valueEnd = keyEnd + 12 + view.getUint32(keyEnd + 8, true);
    registers.set(key, { version: view.getFloat64(keyEnd, true), value: bytes.slice(keyEnd + 12, valueEnd) });
    at = valueEnd;
  }
  return registers;
}

function damaged(path: string, what: string): QuipuError {
  return new QuipuError("LOG_CORRUPT", `${path} at offset 0: ${what}`);
}
