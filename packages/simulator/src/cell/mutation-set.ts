/** Every deliberate bug of a cell, wherever it lives. */
export type { CellMutations as CellMutationSet } from "@quipu/cluster";
