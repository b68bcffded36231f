/**
 * The time of all cores: one tick per timer, never two to catch up. A process that stood still finds its timers due before
 * it has read what its peers sent meanwhile; elections must not begin on that (research: late timers after a stall).
 */
import type { Clock } from "@quipu/core";

export interface TickSettings {
  readonly tickMs: number;
  /** A timer that is this late was no tick: the process did not run. */
  readonly pauseMs: number;
}

export function startTicks(
  clock: Clock,
  { tickMs, pauseMs }: TickSettings,
  onTick: () => void,
): { readonly stop: () => void; readonly pauses: () => number } {
  let pauses = 0;
  let isStopped = false;
  let wasPause = false;
  let lastMs = clock.monotonicMs();
  let cancel = clock.setTimer(tickMs, onTimer);

  function onTimer(): void {
    // Behind all input that waits already.
    clock.endOfTurn(() => {
      if (isStopped) return;
      const nowMs = clock.monotonicMs();
      // Not twice running: a process that is always late would have no time at all, and whoever waits would for ever.
      const isPause = !wasPause && nowMs - lastMs > tickMs + pauseMs;
      wasPause = isPause;
      lastMs = nowMs;
      cancel = clock.setTimer(tickMs, onTimer);
      // Who has waited so long waits for a whole tick more: a message may be on its way to this turn.
      if (isPause) pauses++;
      else onTick();
    });
  }

  return {
    stop: () => {
      isStopped = true;
      cancel();
    },
    pauses: () => pauses,
  };
}
