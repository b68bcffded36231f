/**
 * The history: every record that the log ever delivered, kept by the test, replayed through a machine of its own
 * and through the naive model, which must agree. What clients got and what recovery restores is compared with it.
 */
import { ByteReader, invariant } from "@quipu/core";
import { type Command, CounterMachine, commandWasRun, type Position, readCommand } from "@quipu/counters";
import { lsn as toLsn } from "@quipu/core";
import { check } from "./failure.ts";
import type { Place } from "./naive-entries.ts";
import { type NaiveHeader, NaiveModel } from "./naive-model.ts";
import { commandText, outcomeText } from "./text.ts";

/** What one command of a record must have answered, and after which step of the record. */
export interface ExpectedReply {
  readonly reply: string;
  readonly step: number;
}

interface RecordFacts {
  readonly bytes: Uint8Array;
  readonly header: NaiveHeader;
  readonly applied: boolean;
  /** By command text, in log order. */
  readonly expected: ReadonlyMap<string, ExpectedReply[]>;
  readonly stateHash: string;
}

const headerBytes = 32;
const runOpcode = 1;

export class History {
  readonly model: NaiveModel = new NaiveModel();
  /** Never mutated on purpose: the oracle for state hashes. */
  readonly #reference = new CounterMachine();
  readonly #records = new Map<number, RecordFacts>();
  readonly #applied = new Map<string, number>();
  /** By command text, where it was first applied and not refused. */
  readonly #firstPlaces = new Map<string, Place>();
  readonly #latestStampMs: () => number;
  readonly #clientsLeave: boolean;
  #lastLsn = 0;

  /** `clientsLeave`: connections end while the process lives on. */
  constructor(latestStampMs: () => number, clientsLeave: boolean = false) {
    this.#latestStampMs = latestStampMs;
    this.#clientsLeave = clientsLeave;
  }

  /** The highest position ever delivered: all below it is acknowledged, by the loglet's contract. */
  get lastLsn(): number {
    return this.#lastLsn;
  }

  get emptyHash(): string {
    return new CounterMachine().stateHash();
  }

  /** The version of a key in database 0 at the end of the history. */
  versionOf(key: string): Position {
    const [lsn = 0, index = 0] = this.model.entries.version(`0/${key}`).split("-").map(Number);
    return { lsn: toLsn(lsn), index };
  }

  /** How many times the command was applied or, where it is a retry, recognised. */
  appliedCount(text: string): number {
    return this.#applied.get(text) ?? 0;
  }

  /** Where a command that is applied once, however often it is sent, took effect. */
  firstPlace(text: string): Place | undefined {
    return this.#firstPlaces.get(text);
  }

  record(lsn: number): RecordFacts | undefined {
    return this.#records.get(lsn);
  }

  /** The state hash after every record up to `lsn`. */
  hashAt(lsn: number): string {
    if (lsn === 0) return this.emptyHash;
    const facts = this.#records.get(lsn);
    invariant(facts !== undefined, `no record at ${lsn}`);
    return facts.stateHash;
  }

  /**
   * The reply that the next caller with this command in this record must get; each is taken once. Where clients leave
   * living nodes, some replies have nobody to hear them: then the first that is `reply` and stands above `aboveStep`.
   */
  takeReply(lsn: number, text: string, reply: string, aboveStep: number): ExpectedReply | undefined {
    const expected = this.#records.get(lsn)?.expected.get(text) ?? [];
    const mayBe = (one: ExpectedReply): boolean => one.reply === reply && one.step > aboveStep;
    const at = this.#clientsLeave ? Math.max(0, expected.findIndex(mayBe)) : 0;
    return expected.splice(at, 1)[0];
  }

  /** A record was delivered: a known one must be unchanged, a new one is the next. */
  observe(lsn: number, bytes: Uint8Array): void {
    const known = this.#records.get(lsn);
    if (known !== undefined) {
      check(sameBytes(known.bytes, bytes), "record-changed", () => `record ${lsn} is not what it was`);
      return;
    }
    check(lsn > this.#lastLsn, "record-changed", () => `a new record at ${lsn}, below ${this.#lastLsn}`);
    this.#lastLsn = lsn;
    const header = readHeader(bytes);
    check(
      header.stampMs <= this.#latestStampMs() + 1,
      "log-time",
      () => `record ${lsn} is stamped ${header.stampMs}, later than any clock: ${this.#latestStampMs()}`,
    );
    const expected = new Map<string, ExpectedReply[]>();
    const applied = this.#replay(lsn, bytes, header, expected);
    this.#records.set(lsn, { bytes: bytes.slice(), header, applied, expected, stateHash: this.#reference.stateHash() });
  }

  #replay(lsn: number, bytes: Uint8Array, header: NaiveHeader, expected: Map<string, ExpectedReply[]>): boolean {
    const applied = this.model.beginRecord(lsn, header);
    const verdict = this.#reference.beginRecord(toLsn(lsn), bytes);
    check(
      applied === (verdict === "apply"),
      "model-differs",
      () => `record ${lsn} of ${header.node}/${header.incarnation}/${header.number} is "${verdict}"`,
    );
    if (!applied) return false;
    let expectedReplies: readonly string[] = [];
    for (const { command, text, ordinal } of commandsOf(bytes)) {
      if (ordinal === 0) expectedReplies = this.#nextReplies();
      const reply = expectedReplies[ordinal] ?? "none";
      const naive = this.model.apply(command);
      check(naive === reply, "model-differs", () => `record ${lsn}: ${text} gives ${reply}, naively ${naive}`);
      const list = expected.get(text);
      const entry = { reply, step: this.model.entries.place.step };
      if (list === undefined) expected.set(text, [entry]);
      else list.push(entry);
      this.#applied.set(text, this.appliedCount(text) + 1);
      if (!reply.startsWith("e:") && !this.#firstPlaces.has(text))
        this.#firstPlaces.set(text, { lsn, step: entry.step });
    }
    check(
      this.#reference.remainingCommands === 0,
      "model-differs",
      () => `record ${lsn}: ${this.#reference.remainingCommands} commands left`,
    );
    this.#reference.endRecord();
    return true;
  }

  /** The replies to the reference machine's next command: one, or as many as the run has adds. */
  #nextReplies(): readonly string[] {
    const machine = this.#reference;
    if (machine.applyNext() !== commandWasRun) return [outcomeText(machine.outcome)];
    const { first, delta, count, admitted, rejection } = machine.run;
    return Array.from({ length: count }, (_, i) =>
      i < admitted ? `i:${BigInt(first) + BigInt(delta) * BigInt(i)}` : `e:${rejection}`,
    );
  }

  /** The value of `key` at the end of record `lsn`. */
  endOf(lsn: number): Place {
    return { lsn, step: Number.MAX_SAFE_INTEGER };
  }
}

export function readHeader(bytes: Uint8Array): NaiveHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    node: view.getUint32(4, true),
    incarnation: view.getUint32(8, true),
    number: view.getFloat64(12, true),
    stampMs: view.getFloat64(20, true),
  };
}

interface Expanded {
  readonly command: Command;
  readonly text: string;
  /** Which add of its run this is; 0 for anything else. */
  readonly ordinal: number;
}

/** The commands of a record, runs taken apart into adds. */
function* commandsOf(record: Uint8Array): Iterable<Expanded> {
  const count = new DataView(record.buffer, record.byteOffset).getUint32(28, true);
  const reader = new ByteReader();
  reader.reset(record, headerBytes, record.length);
  for (let i = 0; i < count; i++) {
    if (record[reader.position] !== runOpcode) {
      const command = readCommand(reader);
      yield { command, text: commandText(command), ordinal: 0 };
      continue;
    }
    reader.u8();
    const database = reader.u8();
    const length = reader.u32();
    const delta = reader.int64();
    const command: Command = { type: "add", database, key: reader.bytes().slice(), delta };
    const text = commandText(command);
    for (let ordinal = 0; ordinal < length; ordinal++) yield { command, text, ordinal };
  }
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, i) => byte === right[i]);
}
