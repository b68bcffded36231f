/** Bounds (promise P5) for every way to write one value: which step passes, and Q.BOUND itself. */
import { type ErrorCode, type Int64, int64Compare } from "@quipu/core";
import { type CounterStore, maximumEnd, minimumEnd } from "./counter-store.ts";

/** Why the live key `id` may not take `next`, or null if it may. Only integers within reach of the bounds pass. */
export function refusalOfStep(store: CounterStore, id: number, next: Int64 | Uint8Array): ErrorCode | null {
  if (!store.isBounded(id)) return null;
  if (typeof next === "object") return "NOT_AN_INTEGER";
  const value = store.value(id) as Int64; // A bounded key holds an integer, always.
  const maximum = store.bound(id, maximumEnd);
  if (maximum !== null && next > maximum && next > value) return "OUT_OF_BOUNDS";
  const minimum = store.bound(id, minimumEnd);
  if (minimum !== null && next < minimum && next < value) return "OUT_OF_BOUNDS";
  return null;
}

/** Whether `value` lies outside of what two bounds leave. */
export function isExcluded(value: Int64, minimum: Int64 | null, maximum: Int64 | null): boolean {
  return (
    (minimum !== null && int64Compare(value, minimum) < 0) || (maximum !== null && int64Compare(value, maximum) > 0)
  );
}
