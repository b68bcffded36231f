/** The Clock port over Node's timers and event loop. */
import { performance } from "node:perf_hooks";
import type { Clock } from "@quipu/core";

/** setTimeout takes a signed 32-bit count of milliseconds; more (25 days) would fire at once. */
export const timerDelayMsMax: number = 2 ** 31 - 1;

export class NodeClock implements Clock {
  monotonicMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    let timer: NodeJS.Timeout;
    // Timers round down to whole milliseconds; "not before the delay has passed" needs the next one.
    let leftMs = Math.max(0, Math.ceil(delayMs));
    const arm = (): void => {
      const stepMs = Math.min(leftMs, timerDelayMsMax);
      leftMs -= stepMs;
      timer = setTimeout(leftMs > 0 ? arm : callback, stepMs);
    };
    if (delayMs === Number.POSITIVE_INFINITY) return () => {};
    arm();
    return () => clearTimeout(timer);
  }

  /** The check phase follows the poll phase: by then every readable socket of this turn has been read. */
  endOfTurn(callback: () => void): void {
    setImmediate(callback);
  }
}
