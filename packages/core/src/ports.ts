/**
 * Ports: everything impure that the code above reaches the world through.
 * `packages/server` implements them for real, `packages/simulator` with faults; nothing else does I/O.
 */

/** Time. Monotonic for intervals and stamps, wall only where a human or a wire format needs it. */
export interface Clock {
  /** Milliseconds, never going back within a process; the origin is arbitrary. */
  monotonicMs(): number;
  /** Milliseconds since the Unix epoch, as the operating system believes; may jump. */
  wallMs(): number;
  /** Calls `callback` once, not before `delayMs` has passed. Returns how to cancel. */
  setTimer(delayMs: number, callback: () => void): () => void;
  /** Calls `callback` once when the present turn of the event loop has taken all waiting input. */
  endOfTurn(callback: () => void): void;
}

/** One open file. Positional only; the caller owns ordering and never overlaps two writes. */
export interface DiskFile {
  /** Fills `into` from `position`; resolves to the bytes read, fewer only at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** Writes `bytes` at `position`; resolves to the bytes written, which may be fewer (a short write). */
  write(bytes: Uint8Array, position: number): Promise<number>;
  /** Makes every completed write of this file durable (fdatasync, sizes included). */
  sync(): Promise<void>;
  /**
   * `write`, then `sync` if all of `bytes` was written: one round trip on the path that every commit takes.
   * Resolves to the bytes written; where that is fewer, nothing was synced.
   */
  writeAndSync(bytes: Uint8Array, position: number): Promise<number>;
  size(): Promise<number>;
  close(): Promise<void>;
}

/** A directory tree on a disk. Paths use `/`. A created or renamed name is durable after syncDirectory. */
export interface Disk {
  /** Opens for reading and writing. `create: "new"` fails where the file exists. */
  open(path: string, options: { readonly create: "no" | "new" }): Promise<DiskFile>;
  /** Names (not paths) in the directory, sorted. */
  list(directory: string): Promise<readonly string[]>;
  exists(path: string): Promise<boolean>;
  makeDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** fsync of the directory itself: names created, renamed or removed in it become durable. */
  syncDirectory(directory: string): Promise<void>;
}

/** What a {@link Disk} rejects with. `code` is the POSIX name. */
export class DiskError extends Error {
  override readonly name = "DiskError";
  readonly code: string;
  readonly path: string;
  constructor(code: string, path: string, doing: string) {
    super(`${code}: cannot ${doing} ${path}`);
    this.code = code;
    this.path = path;
  }
}

/** A batch under construction, so that a large one can be filled in short slices. */
export interface KeyValueBatch {
  put(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
  /** Applies all or nothing; with `sync`, durable when it resolves. An unsynced batch may be lost in a crash,
   * but only as part of a lost suffix of batches. */
  write(options: { readonly sync: boolean }): Promise<void>;
  /** Gives the batch up without writing it. */
  abandon(): Promise<void>;
}

/** Ordered keys and values (LevelDB in production). Keys compare as unsigned bytes. */
export interface KeyValueStore {
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  batch(): KeyValueBatch;
  /** Entries with `from <= key < to` in order, in pages. */
  entries(from: Uint8Array, to: Uint8Array): AsyncIterable<readonly (readonly [Uint8Array, Uint8Array])[]>;
  /**
   * After a batch that failed for want of space (DISK_FULL): makes the store take batches again. The failed one is then
   * in it whole or not at all. Rejects with DISK_FULL while there is no room. Absent: the store needs no such thing.
   */
  reopen?(): Promise<void>;
  /**
   * For a damaged store whose content is elsewhere too: puts its files aside, for people, and goes on empty. Readers that are
   * still at work get an error.
   */
  renew?(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Datagrams between the nodes of a cell. Best effort: a frame may be lost, repeated, late, out of order. What arrives is
 * from who it says (the transport authenticates); its bytes may still be damaged, so frames carry a checksum.
 */
export interface Network {
  /**
   * This process is `member` from here on, and takes frames. The handler owns the bytes. Called again only by one that
   * finds out that its log is damaged, and is another member from there on. The handler may answer false: the bytes are
   * damaged. A network of streams then makes the stream anew; others need not care.
   */
  listen(member: number, onFrame: (from: number, frame: Uint8Array) => boolean | void): void;
  /** Never throws and never waits: where a queue is full the frame is dropped. The network owns the bytes. */
  send(to: number, frame: Uint8Array): void;
  /** Other members that can be addressed at present, ascending, whether they are in a configuration or not. */
  peers(): readonly number[];
}
