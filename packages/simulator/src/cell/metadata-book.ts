/**
 * What a cell's metadata store holds, told a second time: from the committed records of the metadata group, and from what
 * a crash right now would leave of a node's metadata file. Read past the code under test.
 */
import type { Entry, MemberId } from "@quipu/consensus";
import { ByteReader, DecodeError } from "@quipu/core";
import type { SimulatedDisk } from "../disk.ts";

/** Every cell's metadata store is this group. */
export const metadataGroup = 1;

/** The number of a node and its generation make a member's. */
const nodesMax = 1024;
const metadataFile = "metadata/metadata";
const fileHeaderBytes = 8;
const statePrefix = "cell-metadata/";

/** The registers of a cell as its committed commands make them. */
export class MetadataBook {
  readonly #versions = new Map<string, number>();
  readonly #changed: (key: string, version: number, value: Uint8Array) => void;

  constructor(changed: (key: string, version: number, value: Uint8Array) => void) {
    this.#changed = changed;
  }

  /** In the order of the log; what is no command (nodes without a metadata store) says nothing. */
  committed(entry: Entry): void {
    if (entry.kind !== "record") return;
    const command = decodeCommand(entry.data);
    if (command === undefined) return;
    const version = this.#versions.get(command.key) ?? 0;
    if (version !== command.expectedVersion) return;
    this.#versions.set(command.key, version + 1);
    this.#changed(command.key, version + 1, command.value);
  }
}

interface Command {
  readonly key: string;
  readonly expectedVersion: number;
  readonly value: Uint8Array;
}

function decodeCommand(bytes: Uint8Array): Command | undefined {
  const reader = new ByteReader();
  reader.reset(bytes);
  try {
    reader.u8();
    reader.f64();
    const key = new TextDecoder().decode(reader.bytes());
    const expectedVersion = reader.varint();
    const value = reader.bytes().slice();
    return reader.remaining === 0 ? { key, expectedVersion, value } : undefined;
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

export function generationOf(member: MemberId): number {
  return Math.floor(member / nodesMax);
}

/** Up to which record the registers of the newest member of that generation stand in the node's file; 0: none do. */
export function durableMetadataPosition(disk: SimulatedDisk, generation: number): number {
  const bytes = disk.durable(metadataFile);
  if (bytes === undefined) return 0;
  let newest = -1;
  let position = 0;
  for (const [key, value] of registersOf(bytes)) {
    if (!key.startsWith(`${statePrefix}${generation}.`)) continue;
    const attempt = Number(key.slice(key.lastIndexOf(".") + 1));
    if (attempt <= newest || value.length < 9) continue;
    newest = attempt;
    position = new DataView(value.buffer, value.byteOffset).getFloat64(1, true);
  }
  return position;
}

/** As far as the file is sound. */
function* registersOf(bytes: Uint8Array): Iterable<readonly [key: string, value: Uint8Array]> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = fileHeaderBytes; at + 4 <= bytes.length;) {
    const keyEnd = at + 4 + view.getUint32(at, true);
    if (keyEnd + 12 > bytes.length) return;
    const valueEnd = keyEnd + 12 + view.getUint32(keyEnd + 8, true);
    if (valueEnd > bytes.length) return;
    yield [new TextDecoder().decode(bytes.subarray(at + 4, keyEnd)), bytes.subarray(keyEnd + 12, valueEnd)];
    at = valueEnd;
  }
}
