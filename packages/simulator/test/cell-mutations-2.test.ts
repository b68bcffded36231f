/** Deliberate bugs of a cell, part 2 of 2: the simulator must catch every one. */
import { cellMutationTests } from "./cell-mutation-runs.ts";

cellMutationTests(1);
