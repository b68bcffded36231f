/** A cell of Raft cores. */
import type { Effect, Input, RaftMessage } from "@quipu/consensus";
import { type CellEventOf, CellOf, type FlightOf, type PersistOf, type SeatOf } from "../cell.ts";

export { type Disk, foundingState, newcomerState, restoredState } from "../cell.ts";

export type RaftEffect = Effect<RaftMessage>;
export type RaftInput = Input<RaftMessage>;
export type Persist = PersistOf<RaftMessage>;
export type Flight = FlightOf<RaftMessage>;
export type Seat = SeatOf<RaftMessage>;
export type CellEvent = CellEventOf<RaftMessage>;

export class Cell extends CellOf<RaftMessage> {}
