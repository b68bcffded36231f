/**
 * Idempotency entries: fingerprint of the request and its outcome, until they expire.
 *
 * Small outcomes (safe integers, OK, nil, errors) lie inline: such an entry costs about 70 bytes besides its id.
 * The table's name space is the slot, the scope of the id (DESIGN §4.5).
 */
import { ByteReader, type ByteWriter, DecodeError, invariant } from "@quipu/core";
import { ByteTable, ownerField, shapeField } from "./byte-table.ts";
import { ChangeTracker, type TrackedEntries } from "./change-tracker.ts";
import { readOutcome, writeOutcome } from "./codec.ts";
import type { EntryChunks } from "./entry-chunks.ts";
import { ExpiryHeap } from "./expiry-heap.ts";
import type { ContentHash, HashSum } from "./hash.ts";
import { errorCodesByNumber, errorNumbers } from "./opcodes.ts";
import type { OutcomeValue } from "./outcome.ts";
import { failure, integer, nil, ok } from "./outcomes.ts";
import { makeStoreKey, storeKeyHeadBytes, storePrefix } from "./store-key.ts";

// The entry's words in the table. First the fingerprint.
const fieldLow: number = ownerField;
const fieldHigh: number = ownerField + 1;
/** Double: an inline integer. */
const fieldInteger: number = ownerField + 2;
const fieldTag: number = ownerField + 4;
const entryWords = 6;

const tagAbsent = 0;
const tagInteger = 1;
const tagOk = 2;
const tagNil = 3;
const tagEncoded = 4;
/** Plus the number of the error code. */
const tagError = 256;

export class IdempotencyStore implements TrackedEntries {
  readonly #table: ByteTable;
  readonly #entries: EntryChunks;
  readonly #encoded = new Map<number, Uint8Array>();
  readonly #writer: ByteWriter;
  readonly #reader = new ByteReader();
  readonly expiry: ExpiryHeap;
  readonly tracker: ChangeTracker;
  #size = 0;
  #outcomeBytes = 0;
  #idBytes = 0;

  constructor(seed: number, writer: ByteWriter, sum: HashSum) {
    this.#table = new ByteTable(seed, entryWords, 0);
    this.#entries = this.#table.entries;
    this.#writer = writer;
    this.expiry = new ExpiryHeap(this.#table);
    this.tracker = new ChangeTracker(this, sum);
  }

  /** Live entries. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of the outcomes that do not lie inline. */
  get outcomeBytes(): number {
    return this.#outcomeBytes;
  }

  /** Bytes of the ids of live entries. */
  get idBytes(): number {
    return this.#idBytes;
  }

  get idLimit(): number {
    return this.#table.idLimit;
  }

  /** The entry of the id `bytes[start, end)` in the scope of `slot`, which may be a tombstone; -1 if there is none. */
  lookup(slot: number, bytes: Uint8Array, start: number, end: number): number {
    return this.#table.find(slot, bytes, start, end);
  }

  isPresent(id: number): boolean {
    return this.#entries.word(id, fieldTag) !== tagAbsent;
  }

  matches(id: number, fingerprint: ContentHash): boolean {
    return (
      this.#entries.word(id, fieldLow) === fingerprint.low && this.#entries.word(id, fieldHigh) === fingerprint.high
    );
  }

  /**
   * Adds an entry; `found` is what the last lookup, of this id, said: -1 or a tombstone. Then give it its outcome, in
   * the same command.
   */
  add(
    slot: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    found: number,
    low: number,
    high: number,
    expiresAtMs: number,
  ): number {
    const id = found >= 0 ? found : this.#table.insert(slot, bytes, start, end);
    invariant(!this.isPresent(id), `idempotency entry ${id} added twice`);
    this.tracker.beforeChange(id);
    this.#entries.setWord(id, fieldLow, low);
    this.#entries.setWord(id, fieldHigh, high);
    this.#entries.setDouble(id, fieldInteger, 0);
    this.#entries.setWord(id, fieldTag, tagNil);
    this.expiry.set(id, expiresAtMs);
    this.#size++;
    this.#idBytes += end - start;
    return id;
  }

  /** Only for an entry just added. */
  setInteger(id: number, value: number): void {
    this.#entries.setWord(id, fieldTag, tagInteger);
    this.#entries.setDouble(id, fieldInteger, value);
  }

  /** Only for an entry just added. */
  setOutcome(id: number, outcome: OutcomeValue): void {
    if (outcome.type === "integer" && typeof outcome.value === "number") return this.setInteger(id, outcome.value);
    if (outcome.type === "ok") return this.#entries.setWord(id, fieldTag, tagOk);
    if (outcome.type === "nil") return this.#entries.setWord(id, fieldTag, tagNil);
    if (outcome.type === "error") return this.#entries.setWord(id, fieldTag, tagError + errorNumbers[outcome.code]);
    this.#entries.setWord(id, fieldTag, tagEncoded);
    this.#writer.reset();
    writeOutcome(this.#writer, outcome);
    this.#encoded.set(id, this.#writer.copy());
    this.#outcomeBytes += this.#writer.length;
  }

  outcome(id: number): OutcomeValue {
    const tag = this.#entries.word(id, fieldTag);
    switch (tag) {
      case tagInteger:
        return integer(this.#entries.double(id, fieldInteger));
      case tagOk:
        return ok;
      case tagNil:
        return nil;
      case tagEncoded:
        this.#reader.reset(this.#encoded.get(id) as Uint8Array);
        return readOutcome(this.#reader);
      default: {
        const code = errorCodesByNumber[tag - tagError];
        invariant(code !== undefined, `idempotency entry ${id} has outcome tag ${tag}`);
        return failure(code);
      }
    }
  }

  remove(id: number): void {
    this.tracker.beforeChange(id);
    const encoded = this.#encoded.size === 0 ? undefined : this.#encoded.get(id);
    if (encoded !== undefined) {
      this.#outcomeBytes -= encoded.length;
      this.#encoded.delete(id);
    }
    this.#entries.setWord(id, fieldTag, tagAbsent);
    this.expiry.remove(id);
    this.#size--;
    this.#idBytes -= this.#table.keyLength(id);
    this.tracker.afterRemoval(id);
  }

  hashEntry(id: number, hash: ContentHash): void {
    const chunk = this.#entries.chunk(id);
    const offset = this.#entries.offset(id);
    hash.start(storePrefix.idempotency);
    hash.words(chunk, offset + shapeField, offset + fieldTag + 1);
    this.#table.hashOutlyingKey(id, hash);
    hash.double(this.expiry.timeOf(id));
    if (chunk[offset + fieldTag] === tagEncoded) hash.bytes(this.#encoded.get(id) as Uint8Array);
  }

  storeKey(id: number): Uint8Array {
    const key = makeStoreKey(storePrefix.idempotency, this.#table.space(id), 0, this.#table.keyLength(id));
    this.#table.copyKey(id, key, storeKeyHeadBytes);
    return key;
  }

  storeValue(id: number): Uint8Array {
    const writer = this.#writer;
    writer.reset();
    writer.u32(this.#entries.word(id, fieldLow));
    writer.u32(this.#entries.word(id, fieldHigh));
    writer.varint(this.expiry.timeOf(id));
    writeOutcome(writer, this.outcome(id));
    return writer.copy();
  }

  load(slot: number, key: Uint8Array, reader: ByteReader): void {
    const found = this.lookup(slot, key, 0, key.length);
    if (found >= 0) throw new DecodeError("key twice");
    const low = reader.u32() | 0;
    const high = reader.u32() | 0;
    const id = this.add(slot, key, 0, key.length, found, low, high, reader.varint());
    this.setOutcome(id, readOutcome(reader));
  }

  forget(id: number): void {
    this.#table.remove(id);
  }
}
