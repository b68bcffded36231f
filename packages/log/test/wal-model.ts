/** What a write-ahead log should hold: groups after every queued write, and random writes that fit them. */
import type { Random } from "@quipu/core";
import type { GroupWrite, WriteAheadLog } from "../src/mod.ts";
import { record } from "./wal-harness.ts";

/** A record by its number and size; wal-harness's `record` makes its bytes. */
export interface ModelRecord {
  readonly number: number;
  readonly bytes: number;
}

export interface ModelGroup {
  readonly hardState: number | undefined;
  readonly first: number;
  /** Of index `first` and those that follow. */
  readonly records: readonly ModelRecord[];
}

/** One queued write; "remove" is the group's end. */
export interface ModelWrite {
  readonly group: number;
  readonly hardState?: number;
  readonly restartAt?: number;
  readonly trimUpTo?: number;
  readonly truncateFrom?: number;
  readonly records: readonly ModelRecord[];
  readonly remove?: true;
}

export const emptyGroup: ModelGroup = { hardState: undefined, first: 1, records: [] };

export function modelNext(group: ModelGroup): number {
  return group.first + group.records.length;
}

export function applyWrite(group: ModelGroup, write: ModelWrite): ModelGroup {
  if (write.remove) return emptyGroup;
  let { hardState, first, records } = group;
  if (write.hardState !== undefined) hardState = write.hardState;
  if (write.restartAt !== undefined) {
    first = write.restartAt;
    records = [];
  }
  if (write.trimUpTo !== undefined && write.trimUpTo >= first) {
    records = records.slice(write.trimUpTo + 1 - first);
    first = write.trimUpTo + 1;
  }
  if (write.truncateFrom !== undefined) records = records.slice(0, write.truncateFrom - first);
  return { hardState, first, records: [...records, ...write.records] };
}

let recordNumber = 0;

export function randomRecords(random: Random, countMax: number, bytesMax: number): ModelRecord[] {
  return Array.from({ length: random.below(countMax + 1) }, () => ({
    number: ++recordNumber,
    bytes: 8 + random.below(bytesMax),
  }));
}

/** Any write that the group, as it would be when this one's turn comes, allows. */
export function randomWrite(random: Random, number: number, group: ModelGroup, bytesMax: number): ModelWrite {
  const records = randomRecords(random, 3, bytesMax);
  if (random.chance(1, 60)) return { group: number, remove: true, records: [] };
  let { first } = group;
  let next = modelNext(group);
  const write: { -readonly [Key in keyof ModelWrite]: ModelWrite[Key] } = { group: number, records };
  if (random.chance(1, 4)) write.hardState = random.below(256);
  if (random.chance(1, 25)) first = next = write.restartAt = 1 + random.below(next + 5);
  if (random.chance(1, 5) && next > 1) {
    write.trimUpTo = random.chance(1, 3) ? next - 1 : Math.max(1, first + random.below(next - first + 1) - 1);
    first = Math.max(first, write.trimUpTo + 1);
  }
  if (random.chance(1, 3)) next = write.truncateFrom = first + random.below(next - first + 1);
  return write;
}

/** What `write` asks of the log. */
export function groupWrite(write: ModelWrite): GroupWrite {
  const { hardState, restartAt, trimUpTo, truncateFrom, records } = write;
  return {
    ...(hardState !== undefined && { hardState: Uint8Array.of(hardState) }),
    ...(restartAt !== undefined && { restartAt }),
    ...(trimUpTo !== undefined && { trimUpTo }),
    ...(truncateFrom !== undefined && { truncateFrom }),
    ...(records.length > 0 && { records: records.map(({ number, bytes }) => record(number, bytes)) }),
  };
}

export function queue(wal: WriteAheadLog, write: ModelWrite, done: (error: unknown) => void): void {
  const { group, trimUpTo } = write;
  if (write.remove) wal.removeGroup(group, done);
  else if (trimUpTo !== undefined && isTrim(wal, write)) wal.trim(group, trimUpTo, done);
  else wal.write(write.group, groupWrite(write), done);
}

/** Nothing but a trim, of durable records. */
export function isTrim(wal: WriteAheadLog, write: ModelWrite): boolean {
  const { group, hardState, restartAt, trimUpTo, truncateFrom, records } = write;
  if (hardState !== undefined || restartAt !== undefined || truncateFrom !== undefined) return false;
  if (trimUpTo === undefined || records.length > 0) return false;
  return trimUpTo >= wal.firstIndex(group) && trimUpTo < wal.nextIndex(group);
}

/** The group as the log has it, by `readAll`; records that no test wrote are undefined. */
export async function recoveredGroup(wal: WriteAheadLog, group: number): Promise<ModelGroup> {
  const records: ModelRecord[] = [];
  const first = wal.firstIndex(group);
  await wal.readAll(group, (index, some) => {
    if (index !== first + records.length) throw new Error(`${index} where ${first + records.length} is next`);
    records.push(...some.map(modelRecord));
  });
  if (first + records.length !== wal.nextIndex(group)) throw new Error(`${records.length} records from ${first}`);
  return { hardState: wal.hardState(group)?.[0], first, records };
}

/** By `read`, each from its own index and so through every way-point. */
export async function recordsOneByOne(wal: WriteAheadLog, group: number): Promise<ModelRecord[]> {
  const records: ModelRecord[] = [];
  for (let index = wal.firstIndex(group); index < wal.nextIndex(group); index++) {
    const some = await wal.read(group, index);
    if (some?.[0] === undefined) throw new Error(`record ${index} of group ${group} is not there`);
    records.push(modelRecord(some[0]));
  }
  return records;
}

function modelRecord(bytes: Uint8Array): ModelRecord {
  const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  if (Buffer.compare(bytes, record(number, bytes.length)) !== 0) throw new Error(`record ${number} is damaged`);
  return { number, bytes: bytes.length };
}

export function sameGroup(left: ModelGroup, right: ModelGroup): boolean {
  return (
    left.hardState === right.hardState &&
    left.first === right.first &&
    left.records.length === right.records.length &&
    left.records.every(({ number }, i) => number === right.records[i]?.number)
  );
}
