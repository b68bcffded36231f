/** Runs a parser over chunks and writes down everything it says, as plain values that tests compare. */
import { RespRequestParser, type RequestLimits } from "@quipu/protocol";

/** One char per byte, so that any bytes compare and print well. */
export function latin(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

export function fromLatin(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

export interface Requests {
  readonly commands: readonly (readonly string[])[];
  readonly error: string | undefined;
}

/** Every chunk is overwritten once it has been parsed: a parser that still looks at it is found out. */
export function parseRequests(
  chunks: readonly Uint8Array[],
  options: { readonly limits?: RequestLimits; readonly authenticated?: boolean } = {},
): Requests {
  const parser = new RespRequestParser(options.limits);
  parser.authenticated = options.authenticated ?? true;
  const commands: string[][] = [];
  for (const original of chunks) {
    const chunk = original.slice();
    parser.feed(chunk);
    // Each event but the last consumes at least one byte; one more would be a loop without progress.
    for (let events = 0; events <= parser.bytes.length + 1; events++) {
      const event = parser.next();
      if (event === "more") break;
      if (event === "error") return { commands, error: parser.errorText };
      if (events > parser.bytes.length) throw new Error("the parser does not progress");
      const args: string[] = [];
      for (let index = 0; index < parser.argumentCount; index++) args.push(latin(parser.argument(index)));
      commands.push(args);
    }
    chunk.fill(0x2a);
  }
  return { commands, error: undefined };
}

/** `bytes` cut at the given places. */
export function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const sorted = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  const chunks: Uint8Array[] = [];
  let from = 0;
  for (const place of [...sorted, bytes.length]) {
    chunks.push(bytes.slice(from, place));
    from = place;
  }
  return chunks;
}
