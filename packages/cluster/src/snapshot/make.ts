/** Makes a state snapshot out of the state store, page by page, so that neither machine nor event loop is held up. */
import type { Lsn } from "@quipu/core";
import type { Checkpointer } from "../checkpointer.ts";
import { SnapshotBuilder } from "./format.ts";
import type { SnapshotSettings } from "./settings.ts";
import type { OfferedSnapshot } from "./source.ts";

export interface MakeSnapshotOptions {
  readonly checkpointer: Pick<Checkpointer, "openState">;
  readonly settings: Pick<SnapshotSettings, "snapshotBytesMax">;
  /** Called as soon as it is known where the snapshot will stand. Returns the bytes of records applied so far. */
  readonly onPosition: (position: Lsn) => number;
  /** How the log goes on above a state that has no words of the log beside it in the store. */
  readonly logStart?: (position: Lsn) => Uint8Array;
}

/** Undefined where the log did not say how it goes on above the present state. */
export async function makeSnapshot(options: MakeSnapshotOptions): Promise<OfferedSnapshot | undefined> {
  const { checkpointer, settings } = options;
  const { position, stateHash, pages, ...stored } = await checkpointer.openState();
  const logStart = stored.logStart ?? options.logStart?.(position);
  const recordBytesBefore = options.onPosition(position);
  if (logStart === undefined) {
    await pages.return?.();
    return undefined;
  }
  const builder = new SnapshotBuilder(position, stateHash, settings.snapshotBytesMax);
  for await (const page of pages) for (const [key, value] of page) builder.add(key, value);
  return { bytes: builder.finish(), logStart, recordBytesBefore };
}
