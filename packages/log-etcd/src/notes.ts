/** Small values that people may read with etcdctl: JSON that says what it is, in which format, and of which log. */
import { notOurs } from "./wire.ts";

const format = 1;

/** `{"quipu": kind, "format": 1, ...fields}`. */
export function writeNote(kind: string, fields: Readonly<Record<string, string | number>>): string {
  return JSON.stringify({ quipu: kind, format, ...fields });
}

/** Throws LOG_CORRUPT, naming the key, for anything that {@link writeNote} does not make of this kind. */
export function readNote(key: string, kind: string, bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const note = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as Record<string, unknown> | null;
    if (note?.["quipu"] === kind && note["format"] === format) return note;
  } catch {
    // Said below.
  }
  throw notOurs(key, `it holds no ${kind} of Quipu's, format ${format}`);
}

/** A number of the note; throws LOG_CORRUPT where it is none, or below `least`. */
export function numberOf(key: string, note: Readonly<Record<string, unknown>>, name: string, least: number): number {
  const value = note[name];
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= least) return value;
  throw notOurs(key, `its ${name} is no number from ${least} on`);
}
