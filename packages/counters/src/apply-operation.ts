/** One operation, wherever it stands: alone, in a transaction, a session batch, or under an idempotency key. */
import { applyExpire, applyGetAndExpire, applyPersist } from "./apply-expiry.ts";
import { applyAdd, applyAddDecimal, applyAddWithin, applyBound, applyCompareAndSet } from "./apply-integers.ts";
import { applyDelete, applyFlush, applyGetAndDelete, applySet, applySetMany } from "./apply-strings.ts";
import type { Operation } from "./operations.ts";
import type { OutcomeValue } from "./outcome.ts";
import { failure } from "./outcomes.ts";
import { evaluateRead } from "./reads.ts";
import type { State } from "./state.ts";

/** Takes the next index of the record, be it for a read or an error. */
export function applyOperation(state: State, operation: Operation): OutcomeValue {
  state.index++;
  switch (operation.type) {
    case "add":
      return applyAdd(state, operation);
    case "addDecimal":
      return applyAddDecimal(state, operation);
    case "addWithin":
      return applyAddWithin(state, operation);
    case "set":
      return applySet(state, operation);
    case "setMany":
      return applySetMany(state, operation);
    case "getAndDelete":
      return applyGetAndDelete(state, operation);
    case "getAndExpire":
      return applyGetAndExpire(state, operation);
    case "delete":
      return applyDelete(state, operation);
    case "expire":
      return applyExpire(state, operation);
    case "persist":
      return applyPersist(state, operation);
    case "bound":
      return applyBound(state, operation);
    case "compareAndSet":
      return applyCompareAndSet(state, operation);
    case "flush":
      return applyFlush(state, operation);
    default: {
      const outcome = evaluateRead(state, operation, state.outcomeBytesLeft); // Exhaustive there.
      return outcome.type !== "error" && state.takesOutcome(outcome) ? outcome : failure("VALUE_TOO_LARGE");
    }
  }
}
