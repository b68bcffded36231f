/** MULTI … EXEC: watches first, then every operation; as in Redis, one error does not undo the others. */
import { applyOperation } from "./apply-operation.ts";
import type { TransactionCommand } from "./operations.ts";
import type { OutcomeValue } from "./outcome.ts";
import { array, nil } from "./outcomes.ts";
import type { State } from "./state.ts";
import { samePosition, versionOf } from "./version.ts";

export function applyTransaction(state: State, command: TransactionCommand): OutcomeValue {
  for (const watch of command.watches) {
    if (samePosition(versionOf(state, watch.database, watch.key), watch.version)) continue;
    state.index += command.operations.length; // Indexes do not depend on outcomes.
    return nil;
  }
  return array(command.operations.map((operation) => applyOperation(state, operation)));
}
