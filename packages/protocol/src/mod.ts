/** Bytes and messages: RESP2/RESP3, and what nodes say to each other. Pure but for zlib's crc32. */
export { appendCommand, encodeCommand } from "./command.ts";
export { ReplyError, replyText, type ReplyValue } from "./reply-value.ts";
export {
  bigNumberDigitsMax,
  lineBytesMax,
  type ReplyLimits,
  replyLimits,
  type RequestLimits,
  requestLimits,
  unauthenticatedArgumentsMax,
  unauthenticatedBulkBytesMax,
} from "./resp-limits.ts";
export { type ReplyEvent, RespReplyParser } from "./resp-reply-parser.ts";
export { type RequestEvent, RespRequestParser } from "./resp-request-parser.ts";
export { type RespVersion, RespWriter } from "./resp-writer.ts";
export { decodeUtf8, encodeUtf8, utf8Length, writeUtf8 } from "./utf8.ts";
export { decodeEntry, encodeEntry } from "./peer/entry.ts";
export {
  decodeGroupState,
  decodeLogStart,
  encodeGroupState,
  encodeLogStart,
  type GroupEngine,
  groupEngines,
  type GroupState,
} from "./peer/group-state.ts";
export {
  beatBytes,
  controlBytesMax,
  decodeControl,
  encodeControl,
  LinkFrameParser,
  linkHeaderBytes,
  linkKind,
  linkVersionMax,
  linkVersionMin,
  refusalBytesMax,
  writeLinkHeader,
} from "./peer/link-frame.ts";
export {
  decodeJournalRecord,
  encodeJournalCut,
  encodeJournalEntry,
  encodeJournalRecord,
  type JournalRecord,
} from "./peer/journal-record.ts";
export { decodeHello, encodeHello, helloNonceBytes, isNodeName, type LinkHello } from "./peer/link-hello.ts";
export { decodePeerFrame, encodePeerFrame, isOfUnknownType, type PeerFrame } from "./peer/peer-frame.ts";
export {
  groupStateBytesMax,
  logStartBytesMax,
  peerEntriesMax,
  peerFrameBytesMax,
  randomIdEnd,
  snapshotChunkBytesMax,
  stateHashesMax,
} from "./peer/peer-limits.ts";
export type * from "./peer/peer-message.ts";
