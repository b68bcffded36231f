/** Where the log ends when a replica starts: everything below is replayed before anybody is served. */
import type { Clock, Lsn } from "@quipu/core";
import type { VirtualLog } from "@quipu/log";
import { isTemporary } from "./log-errors.ts";

/** Wait before a log without a quorum is asked again. */
const tailRetryMs = 100;

/** A log without a quorum is waited for. Rejects with what `throwIfStopped` throws once the replica is stopped. */
export async function firstTail(
  log: Pick<VirtualLog, "tail">,
  clock: Pick<Clock, "setTimer">,
  throwIfStopped: () => void,
): Promise<Lsn> {
  for (;;) {
    try {
      const { tail } = await log.tail();
      throwIfStopped();
      return tail;
    } catch (error) {
      throwIfStopped();
      if (!isTemporary(error)) throw error;
    }
    await new Promise<void>((resolve) => void clock.setTimer(tailRetryMs, resolve));
    throwIfStopped();
  }
}
