/** Bytes and messages: RESP2/RESP3. Pure. */
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
export type * from "./peer/peer-message.ts";
