/** Tests only: what goes wrong where the rules of a commit are broken. */
import type { DiskFile } from "@quipu/core";
import type { LogMutation } from "./mutation.ts";
import { writeAllAndSync } from "./segment.ts";

/** `writeAllAndSync`, with the bug. */
export async function writeMutated(
  mutation: LogMutation,
  file: DiskFile,
  path: string,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  if (mutation === "acknowledge-before-sync") {
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at), position + at);
    return;
  }
  try {
    await writeAllAndSync(file, path, bytes, position);
  } catch (error) {
    if (mutation !== "fsync-error-retried") throw error;
    await file.sync();
  }
}
