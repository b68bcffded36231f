/**
 * The first frame of each side of a link: who it is. Its layout stays for ever, so that any two versions can tell each
 * other why they cannot talk; what later versions add stands behind it and is not looked at here.
 */
import { ByteReader, ByteWriter, DecodeError, InvariantViolation } from "@quipu/core";
import { readRandomId, refuse, writeRandomId } from "./fields.ts";

export interface LinkHello {
  /** Of the stream between nodes; `versionMin <= versionMax`. */
  readonly versionMin: number;
  readonly versionMax: number;
  readonly name: string;
  /** Below 2^48; 0: of no cell yet. */
  readonly cell: number;
  /** 0: no number yet. */
  readonly node: number;
  /** 0: takes no datagrams yet. */
  readonly member: number;
  /** Chosen at random by each process, below 2^48: tells two processes of one name apart. */
  readonly process: number;
  /** Feature levels of the records that it can apply. */
  readonly featureLevelMin: number;
  readonly featureLevelMax: number;
  /** {@link helloNonceBytes} that were never used before: nobody can repeat an old proof. */
  readonly nonce: Uint8Array;
}

export const helloNonceBytes = 32;

/** Of a host name's label: it stands in logs, in command lines, in files. */
const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
export const nodeNameMax = 63;

/** "QPH", and the version of this layout in the highest byte. */
const magic = 0x01_485051;

export function isNodeName(name: string): boolean {
  return namePattern.test(name);
}

/** A hello out of its bounds is our own bug: InvariantViolation. */
export function encodeHello(hello: LinkHello): Uint8Array {
  const fault = helloFault(hello);
  if (fault !== undefined) throw new InvariantViolation(fault);
  const writer = new ByteWriter(128);
  writer.u32(magic);
  writer.u16(hello.versionMin);
  writer.u16(hello.versionMax);
  writeRandomId(writer, hello.cell);
  writer.u16(hello.node);
  writer.u32(hello.member);
  writeRandomId(writer, hello.process);
  writer.u16(hello.featureLevelMin);
  writer.u16(hello.featureLevelMax);
  writer.raw(hello.nonce);
  writer.u8(hello.name.length);
  for (let at = 0; at < hello.name.length; at++) writer.u8(hello.name.charCodeAt(at));
  return writer.copy();
}

/** Undefined unless `bytes` begin with a hello. */
export function decodeHello(bytes: Uint8Array): LinkHello | undefined {
  const reader = new ByteReader();
  reader.reset(bytes);
  try {
    return readHello(reader);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

function readHello(reader: ByteReader): LinkHello {
  if (reader.u32() !== magic) refuse("no hello");
  const hello = {
    versionMin: reader.u16(),
    versionMax: reader.u16(),
    cell: readRandomId(reader),
    node: reader.u16(),
    member: reader.u32(),
    process: readRandomId(reader),
    featureLevelMin: reader.u16(),
    featureLevelMax: reader.u16(),
    nonce: Uint8Array.from({ length: helloNonceBytes }, () => reader.u8()),
    name: String.fromCharCode(...Array.from({ length: nameLength(reader) }, () => reader.u8())),
  };
  const fault = helloFault(hello);
  if (fault !== undefined) refuse(fault);
  return hello;
}

function nameLength(reader: ByteReader): number {
  const length = reader.u8();
  return length <= nodeNameMax ? length : refuse(`a name of ${length} bytes`);
}

function helloFault(hello: LinkHello): string | undefined {
  if (!(hello.versionMin >= 1 && hello.versionMin <= hello.versionMax)) return "versions out of order";
  if (hello.featureLevelMin > hello.featureLevelMax) return "feature levels out of order";
  if (hello.nonce.length !== helloNonceBytes) return `a nonce of ${hello.nonce.length} bytes`;
  if (!isNodeName(hello.name)) return "not a node's name";
  return undefined;
}
