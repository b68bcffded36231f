/** A batch as bytes. */
import { invariant } from "@quipu/core";
import { appendCommand, type RespWriter } from "@quipu/protocol";
import type { Batch } from "./batch.ts";

/** Under its session and number; the same bytes however often. */
export function writeNumbered(out: RespWriter, batch: Batch): void {
  const { body, session } = batch;
  invariant(body !== undefined, "a batch is sealed before it is sent");
  invariant(session !== undefined, "a batch has its number before it is sent");
  out.arrayHeader(4 + batch.words);
  out.bulkText("Q.BATCH");
  out.bulkText(session.id);
  out.bulkInteger(batch.number);
  out.bulkInteger(batch.lowestOpen);
  out.raw(body);
}

/** Reads with no write of ours before them need no number: they may be repeated freely. */
export function writeReads(out: RespWriter, keys: readonly string[]): void {
  for (const key of keys) appendCommand(out, ["GET", key]);
}
