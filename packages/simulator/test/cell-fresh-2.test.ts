/** Cells on fresh seeds, part 2 of 4: no check fails. */
import { freshCellSeeds } from "./cell-runs.ts";

freshCellSeeds(1);
