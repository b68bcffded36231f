/**
 * What of ZooKeeper's protocol we speak: operations, their replies, the codes of refusals.
 * Source: zookeeper.jute, ZooDefs.OpCode and KeeperException.Code of Apache ZooKeeper 3.8; MultiOperationRecord, MultiResponse.
 */
import { type JuteReader, JuteWriter } from "./jute.ts";

export const opCode = {
  create: 1,
  delete: 2,
  exists: 3,
  getData: 4,
  setData: 5,
  getChildren: 8,
  ping: 11,
  check: 13,
  multi: 14,
  /** Since 3.6: several reads of one moment. */
  multiRead: 22,
  authenticate: 100,
  closeSession: -11,
  error: -1,
} as const;

/** Request ids that are no request's. */
export const requestId = { event: -1, ping: -2, authentication: -4 } as const;

export const code = {
  ok: 0,
  unimplemented: -6,
  noNode: -101,
  noAuth: -102,
  badVersion: -103,
  nodeExists: -110,
  notEmpty: -111,
  sessionExpired: -112,
  invalidAcl: -114,
  authFailed: -115,
  sessionMoved: -118,
  quotaExceeded: -125,
  throttled: -127,
} as const;

/** For messages; a number that is not in the table is shown as it is. */
export function codeName(value: number): string {
  return Object.entries(code).find(([, number]) => number === value)?.[0] ?? `code ${value}`;
}

/** Any version will do. */
export const anyVersion = -1;

/** One part of a transaction. Versions count the changes of a node's value, from 0. */
export type Operation =
  | { readonly type: "check"; readonly path: string; readonly version: number }
  | { readonly type: "create"; readonly path: string; readonly value: Uint8Array }
  | { readonly type: "setData"; readonly path: string; readonly value: Uint8Array; readonly version: number }
  | { readonly type: "delete"; readonly path: string; readonly version: number };

/** Who may do what with the nodes that we create. */
export type Access = "everybody" | "creator";

export interface Node {
  readonly value: Uint8Array;
  readonly version: number;
  readonly children: number;
}

/** How a transaction went: done as a whole, or not at all because of one of its operations. */
export type TransactionResult =
  | { readonly done: true }
  | { readonly done: false; readonly failed: number; readonly code: number };

/** What is sent, and what its answer says. */
export interface Request<T> {
  readonly operation: number;
  /** Without length and request id, which the connection fills in. Sent once. */
  readonly frame: Buffer;
  /** Throws JuteError. */
  readonly decode: (body: JuteReader) => T;
}

const request = <T>(operation: number, writer: JuteWriter, decode: (body: JuteReader) => T): Request<T> => ({
  operation,
  frame: writer.bytes(),
  decode,
});

const nothing = (): void => undefined;

export const getData = (path: string, watch: boolean): Request<Node> =>
  request(opCode.getData, new JuteWriter().string(path).boolean(watch), readNode);

/** The watch also stands where there is no such node. */
export const exists = (path: string, watch: boolean): Request<void> =>
  request(opCode.exists, new JuteWriter().string(path).boolean(watch), nothing);

export const getChildren = (path: string): Request<readonly string[]> =>
  request(opCode.getChildren, new JuteWriter().string(path).boolean(false), (body) => body.strings());

export const create = (path: string, value: Uint8Array, access: Access): Request<void> =>
  request(opCode.create, writeCreate(new JuteWriter(), path, value, access), nothing);

export const setData = (path: string, value: Uint8Array, version: number): Request<void> =>
  request(opCode.setData, new JuteWriter().string(path).buffer(value).int(version), nothing);

export const remove = (path: string): Request<void> =>
  request(opCode.delete, new JuteWriter().string(path).int(anyVersion), nothing);

export const closeSession = (): Request<void> => request(opCode.closeSession, new JuteWriter(), nothing);

export const ping = (): Request<void> => request(opCode.ping, new JuteWriter(), nothing);

export const authenticate = (credentials: string): Request<void> => {
  const writer = new JuteWriter().int(0).string("digest").buffer(Buffer.from(credentials, "utf8"));
  return request(opCode.authenticate, writer, nothing);
};

export function transaction(operations: readonly Operation[], access: Access): Request<TransactionResult> {
  const writer = new JuteWriter();
  for (const operation of operations) {
    writeMultiHeader(writer, opCode[operation.type]);
    switch (operation.type) {
      case "check":
      case "delete":
        writer.string(operation.path).int(operation.version);
        break;
      case "setData":
        writer.string(operation.path).buffer(operation.value).int(operation.version);
        break;
      case "create":
        writeCreate(writer, operation.path, operation.value, access);
        break;
    }
  }
  return request(opCode.multi, endMulti(writer), readTransaction);
}

/** All of one moment. In the answer a number is the code of a refusal. */
export function readAll(paths: readonly string[]): Request<readonly (Node | number)[]> {
  const writer = new JuteWriter();
  for (const path of paths) {
    writeMultiHeader(writer, opCode.getData);
    writer.string(path).boolean(false);
  }
  return request(opCode.multiRead, endMulti(writer), (body) => readMulti(body, () => readNode(body)));
}

const persistent = 0;
const everyPermission = 31;

function writeCreate(writer: JuteWriter, path: string, value: Uint8Array, access: Access): JuteWriter {
  writer.string(path).buffer(value).int(1).int(everyPermission);
  // "auth" stands for whoever this connection is authenticated as.
  if (access === "creator") writer.string("auth").string("");
  else writer.string("world").string("anyone");
  return writer.int(persistent);
}

function writeMultiHeader(writer: JuteWriter, operation: number): void {
  writer.int(operation).boolean(false).int(-1);
}

function endMulti(writer: JuteWriter): JuteWriter {
  return writer.int(opCode.error).boolean(true).int(-1);
}

/** czxid, mzxid, ctime, mtime, then version; behind it cversion, aversion, owner, length; number of children; pzxid. */
function readStat(reader: JuteReader): { readonly version: number; readonly children: number } {
  reader.skip(32);
  const version = reader.int();
  reader.skip(20);
  const children = reader.int();
  reader.skip(8);
  return { version, children };
}

function readNode(reader: JuteReader): Node {
  const value = reader.buffer();
  return { value, ...readStat(reader) };
}

function readTransaction(reader: JuteReader): TransactionResult {
  const codes = readMulti(reader, (operation) => {
    if (operation === opCode.create) reader.string();
    if (operation === opCode.setData) readStat(reader);
  }).map((result) => (typeof result === "number" ? result : code.ok));
  // Operations in front of the one that failed say 0, those behind it -2.
  const failed = codes.findIndex((value) => value !== code.ok);
  return failed < 0 ? { done: true } : { done: false, failed, code: codes[failed] ?? code.ok };
}

function readMulti<T>(reader: JuteReader, readResult: (operation: number) => T): readonly (T | number)[] {
  const results: (T | number)[] = [];
  for (;;) {
    const operation = reader.int();
    const isEnd = reader.boolean();
    reader.int();
    if (isEnd) return results;
    results.push(operation === opCode.error ? reader.int() : readResult(operation));
  }
}
