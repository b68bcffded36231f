/** Watches keys for hints. Whatever ends the stream (a member that dies, a compacted revision), another one begins. */
import type { EtcdClient } from "./client.ts";
import type { KeyValue, range, WatchLine } from "./wire.ts";

/**
 * `onChange` is called with what was written, or without anything when something may have been missed. A stream that ended is
 * begun again after `pauseMs`: from the newest revision, since whoever is hinted looks for itself.
 */
export function watchRange(
  client: EtcdClient,
  keys: ReturnType<typeof range>,
  pauseMs: number,
  onChange: (pair: KeyValue | undefined) => void,
): { readonly close: () => void } {
  let stream: { readonly close: () => void } | undefined;
  let endPause: (() => void) | undefined;
  let isClosed = false;
  const begin = (): void => {
    if (isClosed) return;
    stream = client.stream("/v3/watch", { create_request: keys }, onLine, again);
  };
  const again = (): void => {
    if (isClosed) return;
    stream?.close();
    endPause?.();
    endPause = client.later(pauseMs, begin);
  };
  const onLine = (line: string): void => {
    const result = parse(line)?.result;
    if (isClosed) return;
    if (result === undefined || result.canceled === true) return again();
    if (result.created === true) return onChange(undefined);
    // The newest one says it all.
    const last = result.events?.at(-1);
    if (last !== undefined) onChange(last.kv);
  };
  begin();
  return {
    close: () => {
      isClosed = true;
      stream?.close();
      endPause?.();
    },
  };
}

function parse(line: string): WatchLine | undefined {
  try {
    return JSON.parse(line) as WatchLine;
  } catch {
    return undefined;
  }
}
