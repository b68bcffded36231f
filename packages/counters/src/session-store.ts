/**
 * Sessions (RIFL: Lee et al., SOSP 2015): per session the lowest number still open and the replies from there on.
 *
 * A session's identity is its name and its expiry. Its entry lives exactly until then: never evicted, never renewed.
 */
import { type ByteReader, type ByteWriter, DecodeError, invariant } from "@quipu/core";
import { ByteTable } from "./byte-table.ts";
import { ChangeTracker, type TrackedEntries } from "./change-tracker.ts";
import { ExpiryHeap } from "./expiry-heap.ts";
import { ContentHash, HashSum } from "./hash.ts";
import { makeStoreKey, storeKeyHeadBytes, storePrefix } from "./store-key.ts";

/** Bytes of the expiry before the name, big-endian: together the key. */
const expiryBytes = 8;
/** Sessions belong to no key: all are in slot 0. */
const sessionSlot = 0;

interface Session {
  lowestOpen: number;
  /** Encoded outcomes by number, all >= lowestOpen. */
  readonly replies: Map<number, Uint8Array>;
  replyBytes: number;
  /** Sum of the hashes of the replies, so that a change need not hash them all. */
  readonly replySum: HashSum;
}

export class SessionStore implements TrackedEntries {
  readonly #table: ByteTable;
  readonly #sessions: (Session | undefined)[] = [];
  readonly #writer: ByteWriter;
  readonly #replyHash = new ContentHash();
  readonly expiry: ExpiryHeap;
  readonly tracker: ChangeTracker;
  #size = 0;
  #replyBytes = 0;

  constructor(seed: number, writer: ByteWriter, sum: HashSum) {
    this.#table = new ByteTable(seed, 0, 0);
    this.#writer = writer;
    this.expiry = new ExpiryHeap(this.#table);
    this.tracker = new ChangeTracker(this, sum);
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes of the open replies of all sessions. */
  get replyBytes(): number {
    return this.#replyBytes;
  }

  get idLimit(): number {
    return this.#table.idLimit;
  }

  /** The live entry of a session, or -1. */
  find(name: Uint8Array, expiresAtMs: number): number {
    const key = sessionKey(name, expiresAtMs);
    const id = this.#table.find(0, key, 0, key.length);
    return id >= 0 && this.isPresent(id) ? id : -1;
  }

  add(name: Uint8Array, expiresAtMs: number): number {
    const key = sessionKey(name, expiresAtMs);
    const found = this.#table.find(0, key, 0, key.length);
    const id = found >= 0 ? found : this.#table.insert(0, key, 0, key.length);
    invariant(!this.isPresent(id), `session entry ${id} added twice`);
    this.tracker.beforeChange(id);
    this.#sessions[id] = { lowestOpen: 0, replies: new Map(), replyBytes: 0, replySum: new HashSum() };
    this.expiry.set(id, expiresAtMs);
    this.#size++;
    return id;
  }

  remove(id: number): void {
    this.tracker.beforeChange(id);
    this.#replyBytes -= this.#session(id).replyBytes;
    this.#sessions[id] = undefined;
    this.expiry.remove(id);
    this.#size--;
    this.tracker.afterRemoval(id);
  }

  lowestOpen(id: number): number {
    return this.#session(id).lowestOpen;
  }

  /** The encoded reply of a number, or undefined. */
  reply(id: number, number: number): Uint8Array | undefined {
    return this.#session(id).replies.get(number);
  }

  /** Whether the session may keep one more reply. */
  hasRoom(id: number, repliesMax: number, bytesMax: number): boolean {
    const session = this.#session(id);
    return session.replies.size < repliesMax && session.replyBytes < bytesMax;
  }

  /** Drops the replies below `lowestOpen`, which never goes back. */
  acknowledge(id: number, lowestOpen: number): void {
    const session = this.#session(id);
    if (lowestOpen <= session.lowestOpen) return;
    this.tracker.beforeChange(id);
    session.lowestOpen = lowestOpen;
    for (const [old, dropped] of session.replies) {
      if (old >= lowestOpen) continue;
      this.#hashReply(old, dropped);
      session.replySum.subtract(this.#replyHash);
      session.replies.delete(old);
      session.replyBytes -= dropped.length;
      this.#replyBytes -= dropped.length;
    }
  }

  addReply(id: number, number: number, reply: Uint8Array): void {
    this.tracker.beforeChange(id);
    const session = this.#session(id);
    this.#hashReply(number, reply);
    session.replySum.add(this.#replyHash);
    session.replies.set(number, reply);
    session.replyBytes += reply.length;
    this.#replyBytes += reply.length;
  }

  isPresent(id: number): boolean {
    return this.#sessions[id] !== undefined;
  }

  hashEntry(id: number, hash: ContentHash): void {
    const session = this.#session(id);
    hash.start(storePrefix.session);
    hash.word(this.#table.keyLength(id));
    this.#table.hashOutlyingKey(id, hash);
    hash.double(session.lowestOpen);
    hash.word(session.replySum.low);
    hash.word(session.replySum.high);
  }

  storeKey(id: number): Uint8Array {
    const key = makeStoreKey(storePrefix.session, sessionSlot, 0, this.#table.keyLength(id));
    this.#table.copyKey(id, key, storeKeyHeadBytes);
    return key;
  }

  storeValue(id: number): Uint8Array {
    const session = this.#session(id);
    const writer = this.#writer;
    writer.reset();
    writer.varint(session.lowestOpen);
    writer.varint(session.replies.size);
    for (const number of [...session.replies.keys()].sort((left, right) => left - right)) {
      writer.varint(number);
      writer.bytesWithLength(session.replies.get(number) as Uint8Array);
    }
    return writer.copy();
  }

  /** `key` as in the store, without its head. */
  load(key: Uint8Array, reader: ByteReader): void {
    if (key.length < expiryBytes) throw new DecodeError("session key without an expiry");
    const expiresAtMs = new DataView(key.buffer, key.byteOffset).getFloat64(0);
    if (!Number.isSafeInteger(expiresAtMs) || expiresAtMs < 0) throw new DecodeError("session expiry out of range");
    const name = key.subarray(expiryBytes);
    if (this.find(name, expiresAtMs) >= 0) throw new DecodeError("key twice");
    const id = this.add(name, expiresAtMs);
    const lowestOpen = reader.varint();
    const count = reader.varint();
    for (let index = 0; index < count; index++) {
      const number = reader.varint();
      if (this.reply(id, number) !== undefined) throw new DecodeError("reply twice");
      this.addReply(id, number, reader.bytes().slice());
    }
    this.#session(id).lowestOpen = lowestOpen;
  }

  forget(id: number): void {
    this.#table.remove(id);
  }

  #session(id: number): Session {
    const session = this.#sessions[id];
    invariant(session !== undefined, `no session entry ${id}`);
    return session;
  }

  #hashReply(number: number, reply: Uint8Array): void {
    const hash = this.#replyHash;
    hash.start(storePrefix.session);
    hash.double(number);
    hash.bytes(reply);
    hash.finish();
  }
}

function sessionKey(name: Uint8Array, expiresAtMs: number): Uint8Array {
  const key = new Uint8Array(expiryBytes + name.length);
  new DataView(key.buffer).setFloat64(0, expiresAtMs);
  key.set(name, expiryBytes);
  return key;
}
