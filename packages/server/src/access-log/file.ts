/** Hits of a log file, streamed: a file larger than memory is no trouble. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { type Hit, parseAccessLogLine } from "./parser.ts";

/** What a reader sees go by; filled while the file is read. */
export class FileProgress {
  bytesRead = 0;
  linesRead = 0;
  /** Lines of another form: they are counted here and nowhere else. */
  linesRefused = 0;
  firstRefused: { readonly line: number; readonly text: string } | undefined;
}

/** Shown of a line that does not parse. */
const excerptCharacters = 80;

export async function* readHits(file: string, progress: FileProgress): AsyncGenerator<Hit> {
  const input = createReadStream(file, "utf8");
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  for await (const line of lines) {
    progress.bytesRead = input.bytesRead;
    progress.linesRead += 1;
    const hit = parseAccessLogLine(line);
    if (hit !== undefined) {
      yield hit;
      continue;
    }
    progress.linesRefused += 1;
    progress.firstRefused ??= { line: progress.linesRead, text: line.slice(0, excerptCharacters) };
  }
}
