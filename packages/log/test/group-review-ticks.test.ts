/** A process that is always late still has a time: elections, heartbeats and deadlines go on, slowly. */
import { expect, test } from "vitest";
import { startTicks } from "../src/engines/group/ticks.ts";

/** Every timer is `lateMs` too late. */
function ticksWithin(totalMs: number, lateMs: (timer: number) => number): number {
  let nowMs = 0;
  let due: { readonly atMs: number; readonly callback: () => void } | undefined;
  const clock = {
    monotonicMs: (): number => nowMs,
    wallMs: (): number => nowMs,
    setTimer: (delayMs: number, callback: () => void): (() => void) => {
      due = { atMs: nowMs + delayMs, callback };
      return () => undefined;
    },
    endOfTurn: (callback: () => void): void => callback(),
  };
  let ticks = 0;
  startTicks(clock, { tickMs: 50, pauseMs: 250 }, () => ticks++);
  for (let timer = 0; due !== undefined && nowMs < totalMs; timer++) {
    nowMs = due.atMs + lateMs(timer);
    due.callback();
  }
  return ticks;
}

test("one pause is no tick", () => {
  expect(ticksWithin(1000, (timer) => (timer === 3 ? 500 : 0))).toBe(9);
});

test("after a pause one timer is left out, not every one that is late", () => {
  expect(ticksWithin(8000, () => 350)).toBe(10);
});
