/** Commands as clients send them: multibulk, into a fresh array or behind what a writer holds. */
import { RespWriter } from "./resp-writer.ts";

/** Appends one command; several appended to one writer make a pipeline. */
export function appendCommand(writer: RespWriter, args: readonly (string | Uint8Array)[]): void {
  writer.arrayHeader(args.length);
  for (const argument of args) {
    if (typeof argument === "string") writer.bulkText(argument);
    else writer.bulk(argument);
  }
}

/** One command as bytes of its own. */
export function encodeCommand(args: readonly (string | Uint8Array)[]): Uint8Array {
  const writer = new RespWriter();
  appendCommand(writer, args);
  return writer.take();
}
