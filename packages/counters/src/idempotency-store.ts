/**
 * Idempotency entries in columns: fingerprint of the request and its outcome, until they expire.
 *
 * Small outcomes (safe integers, OK, nil, errors) lie inline: such an entry costs about 70 bytes besides its id.
 * The table's name space is the slot, the scope of the id (DESIGN §4.5).
 */
import { invariant } from "@quipu/core";
import { ByteReader, type ByteWriter } from "./bytes.ts";
import { ByteTable } from "./byte-table.ts";
import { ChangeTracker, type TrackedEntries } from "./change-tracker.ts";
import { readOutcome, writeOutcome } from "./codec.ts";
import { Float64Column, Int32Column } from "./columns.ts";
import { ExpiryHeap } from "./expiry-heap.ts";
import type { ContentHash, HashSum } from "./hash.ts";
import { errorCodesByNumber, errorNumbers } from "./opcodes.ts";
import type { OutcomeValue } from "./outcome.ts";
import { failure, integer, nil, ok } from "./outcomes.ts";
import { makeStoreKey, storeKeyHeadBytes, storePrefix } from "./store-key.ts";

const fieldLow = 0;
const fieldHigh = 1;
const fieldTag = 2;

const tagAbsent = 0;
const tagInteger = 1;
const tagOk = 2;
const tagNil = 3;
const tagEncoded = 4;
/** Plus the number of the error code. */
const tagError = 256;

export class IdempotencyStore implements TrackedEntries {
  readonly #table: ByteTable;
  readonly #fields = new Int32Column(3);
  readonly #integers = new Float64Column();
  readonly #encoded = new Map<number, Uint8Array>();
  readonly #writer: ByteWriter;
  readonly #reader = new ByteReader();
  readonly expiry: ExpiryHeap = new ExpiryHeap();
  readonly tracker: ChangeTracker;
  #size = 0;

  constructor(seed: number, writer: ByteWriter, sum: HashSum) {
    this.#table = new ByteTable(seed);
    this.#writer = writer;
    this.tracker = new ChangeTracker(this, sum);
  }

  /** Live entries. */
  get size(): number {
    return this.#size;
  }

  get idLimit(): number {
    return this.#table.idLimit;
  }

  /** The live entry of the id `bytes[start, end)` in the scope of `slot`, or -1. */
  find(slot: number, bytes: Uint8Array, start: number, end: number): number {
    const id = this.#table.find(slot, bytes, start, end);
    return id >= 0 && this.isPresent(id) ? id : -1;
  }

  isPresent(id: number): boolean {
    return this.#fields.get(id, fieldTag) !== tagAbsent;
  }

  matches(id: number, fingerprint: ContentHash): boolean {
    return this.#fields.get(id, fieldLow) === fingerprint.low && this.#fields.get(id, fieldHigh) === fingerprint.high;
  }

  /** Adds an entry; there must be no live one. Then give it its outcome, in the same command. */
  add(
    slot: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    low: number,
    high: number,
    expiresAtMs: number,
  ): number {
    const found = this.#table.find(slot, bytes, start, end);
    const id = found >= 0 ? found : this.#table.insert(slot, bytes, start, end);
    this.#fields.ensure(id);
    this.#integers.ensure(id);
    invariant(!this.isPresent(id), `idempotency entry ${id} added twice`);
    this.tracker.beforeChange(id);
    this.#fields.set(id, low, fieldLow);
    this.#fields.set(id, high, fieldHigh);
    this.#fields.set(id, tagNil, fieldTag);
    this.expiry.set(id, expiresAtMs);
    this.#size++;
    return id;
  }

  /** Only for an entry just added. */
  setInteger(id: number, value: number): void {
    this.#fields.set(id, tagInteger, fieldTag);
    this.#integers.set(id, value);
  }

  /** Only for an entry just added. */
  setOutcome(id: number, outcome: OutcomeValue): void {
    if (outcome.type === "integer" && typeof outcome.value === "number") return this.setInteger(id, outcome.value);
    if (outcome.type === "ok") return this.#fields.set(id, tagOk, fieldTag);
    if (outcome.type === "nil") return this.#fields.set(id, tagNil, fieldTag);
    if (outcome.type === "error") return this.#fields.set(id, tagError + errorNumbers[outcome.code], fieldTag);
    this.#fields.set(id, tagEncoded, fieldTag);
    this.#writer.reset();
    writeOutcome(this.#writer, outcome);
    this.#encoded.set(id, this.#writer.copy());
  }

  outcome(id: number): OutcomeValue {
    const tag = this.#fields.get(id, fieldTag);
    switch (tag) {
      case tagInteger:
        return integer(this.#integers.get(id));
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
    if (this.#fields.get(id, fieldTag) === tagEncoded) this.#encoded.delete(id);
    this.#fields.set(id, tagAbsent, fieldTag);
    this.expiry.remove(id);
    this.#size--;
    this.tracker.afterRemoval(id);
  }

  hashEntry(id: number, hash: ContentHash): void {
    hash.start(storePrefix.idempotency);
    this.#table.hashKey(id, hash);
    hash.word(this.#fields.get(id, fieldLow));
    hash.word(this.#fields.get(id, fieldHigh));
    hash.double(this.expiry.timeOf(id));
    const tag = this.#fields.get(id, fieldTag);
    hash.word(tag);
    if (tag === tagInteger) hash.double(this.#integers.get(id));
    else if (tag === tagEncoded) hash.bytes(this.#encoded.get(id) as Uint8Array);
  }

  storeKey(id: number): Uint8Array {
    const key = makeStoreKey(storePrefix.idempotency, this.#table.space(id), 0, this.#table.keyLength(id));
    this.#table.copyKey(id, key, storeKeyHeadBytes);
    return key;
  }

  storeValue(id: number): Uint8Array {
    const writer = this.#writer;
    writer.reset();
    writer.u32(this.#fields.get(id, fieldLow));
    writer.u32(this.#fields.get(id, fieldHigh));
    writer.varint(this.expiry.timeOf(id));
    writeOutcome(writer, this.outcome(id));
    return writer.copy();
  }

  load(slot: number, key: Uint8Array, reader: ByteReader): void {
    const low = reader.u32() | 0;
    const high = reader.u32() | 0;
    const id = this.add(slot, key, 0, key.length, low, high, reader.varint());
    this.setOutcome(id, readOutcome(reader));
  }

  forget(id: number): void {
    this.#table.remove(id);
  }
}
