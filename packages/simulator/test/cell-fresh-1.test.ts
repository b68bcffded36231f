/** Cells on fresh seeds, part 1 of 4: no check fails. */
import { freshCellSeeds } from "./cell-runs.ts";

freshCellSeeds(0);
