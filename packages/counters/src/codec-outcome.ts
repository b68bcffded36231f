/** Outcomes as bytes: what idempotency and session entries store. */
import { type ByteReader, type ByteWriter, DecodeError, unreachable } from "@quipu/core";
import { errorCodesByNumber, errorNumbers, outcomeTags } from "./opcodes.ts";
import type { OutcomeValue } from "./outcome.ts";

/**
 * Deepest nesting of arrays. The deepest that exists: a session's reply > its outcomes > a scan's reply > keys, 4.
 */
const outcomeDepthMax = 8;
/** More than any list of outcomes can have; what remains of the bytes is the real limit. */
const outcomeItemsMax = Number.MAX_SAFE_INTEGER;

export function writeOutcome(writer: ByteWriter, outcome: OutcomeValue): void {
  writer.u8(outcomeTags[outcome.type]);
  switch (outcome.type) {
    case "ok":
    case "nil":
      return;
    case "integer":
      return writer.int64(outcome.value);
    case "bytes":
      return writer.bytesWithLength(outcome.value);
    case "error":
      return writer.u8(errorNumbers[outcome.code]);
    case "array":
      writer.varint(outcome.items.length);
      for (const item of outcome.items) writeOutcome(writer, item);
      return;
    default:
      return unreachable(outcome);
  }
}

const ok: OutcomeValue = { type: "ok" };
const nil: OutcomeValue = { type: "nil" };

/** Bytes are copied: the outcome outlives what it was read from. */
export function readOutcome(reader: ByteReader): OutcomeValue {
  return readNested(reader, 0);
}

function readNested(reader: ByteReader, depth: number): OutcomeValue {
  const tag = reader.u8();
  switch (tag) {
    case outcomeTags.ok:
      return ok;
    case outcomeTags.nil:
      return nil;
    case outcomeTags.integer:
      return { type: "integer", value: reader.int64() };
    case outcomeTags.bytes:
      return { type: "bytes", value: reader.bytes().slice() };
    case outcomeTags.error: {
      const code = errorCodesByNumber[reader.u8()];
      if (code === undefined) throw new DecodeError("unknown error number");
      return { type: "error", code };
    }
    case outcomeTags.array: {
      if (depth === outcomeDepthMax) throw new DecodeError(`outcome nested deeper than ${outcomeDepthMax}`);
      const count = reader.itemCount(outcomeItemsMax, 1);
      const items: OutcomeValue[] = [];
      for (let index = 0; index < count; index++) items.push(readNested(reader, depth + 1));
      return { type: "array", items };
    }
    default:
      throw new DecodeError(`unknown outcome tag ${tag}`);
  }
}
