/**
 * Record ids (DESIGN §4.5): per node the life it is in and the last record of that life.
 *
 * Only the next number of a life is applied. Lower is a duplicate, higher is void (a record before it was lost, so its
 * writer appends again from there), and the first record of a new life voids whatever still comes of older ones.
 */
import type { ByteReader, ByteWriter } from "@quipu/core";
import type { ContentHash } from "./hash.ts";
import type { CounterMutation } from "./mutation.ts";
import type { RecordId } from "./record.ts";
import { storePrefix } from "./store-key.ts";

interface Writer {
  incarnation: number;
  lastNumber: number;
}

export type Admission = "apply" | "duplicate" | "void";

export class Writers {
  readonly #writers = new Map<number, Writer>();
  readonly #writersMax: number;
  readonly #mutation: CounterMutation | undefined;

  constructor(writersMax: number, mutation: CounterMutation | undefined) {
    this.#writersMax = writersMax;
    this.#mutation = mutation;
  }

  get size(): number {
    return this.#writers.size;
  }

  /** 0 if that life of the node has no record yet, or is not the present one. */
  lastNumber(node: number, incarnation: number): number {
    const writer = this.#writers.get(node);
    return writer?.incarnation === incarnation ? writer.lastNumber : 0;
  }

  /** The life that the node is in; 0 if it has written nothing yet. */
  currentIncarnation(node: number): number {
    return this.#writers.get(node)?.incarnation ?? 0;
  }

  /** Whether the record is to be applied; if so, it is now the last one of its life. */
  admit(record: RecordId): Admission {
    const writer = this.#writers.get(record.node);
    if (writer === undefined || record.incarnation > writer.incarnation) {
      if (record.number !== 1 && this.#mutation !== "writer-gap-accepted") return "void";
      if (writer === undefined && this.#writers.size >= this.#writersMax) return "void";
      this.#writers.set(record.node, { incarnation: record.incarnation, lastNumber: record.number });
      return "apply";
    }
    if (record.incarnation < writer.incarnation) return "void";
    if (record.number <= writer.lastNumber) {
      return this.#mutation === "duplicate-record-applied" ? "apply" : "duplicate";
    }
    if (record.number !== writer.lastNumber + 1 && this.#mutation !== "writer-gap-accepted") return "void";
    writer.lastNumber = record.number;
    return "apply";
  }

  /** Nodes in ascending order. */
  nodes(): number[] {
    return [...this.#writers.keys()].sort((left, right) => left - right);
  }

  write(node: number, writer: ByteWriter): void {
    const entry = this.#writers.get(node) as Writer;
    writer.u32(entry.incarnation);
    writer.varint(entry.lastNumber);
  }

  load(node: number, reader: ByteReader): void {
    this.#writers.set(node, { incarnation: reader.u32(), lastNumber: reader.varint() });
  }

  hash(node: number, hash: ContentHash): void {
    const entry = this.#writers.get(node) as Writer;
    hash.start(storePrefix.writer);
    hash.word(node);
    hash.word(entry.incarnation);
    hash.double(entry.lastNumber);
    hash.finish();
  }
}
