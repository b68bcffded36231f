/** Cells on fresh seeds, part 3 of 4: no check fails. */
import { freshCellSeeds } from "./cell-runs.ts";

freshCellSeeds(2);
