/** What stands below the doors: the engine room of a node, of a single process or of a cell. */
import type { ReplicaDoor } from "@quipu/cluster";
import type { CellAnswer, CellRequest } from "./cell/cell-requests.ts";
import type { NodeEndpoints, NodeStatus } from "./node-status.ts";
import type { DoorAddress } from "./resp/connection-face.ts";

/** The part of the status that the core knows; the rest belongs to the doors. */
export type CoreStatus = Pick<
  NodeStatus,
  "node" | "incarnation" | "overloaded" | "engine" | "chain" | "shards" | "cell" | "waitingFor"
>;

export interface NodeCore {
  readonly dataDirectory: string;
  /** Refuses until the core serves. */
  readonly door: ReplicaDoor;
  /** Resolves when requests can be served for the first time; rejects where that will never be. */
  readonly serving: Promise<void>;
  readonly isServing: boolean;
  status(): CoreStatus;
  /** Where the doors are, as soon as that is known: the other nodes of a cell are told. */
  announce(endpoints: NodeEndpoints, isReady: boolean): void;
  /** RESP doors of the cell that serve, as the SDK is told; undefined: there is only this process. */
  doors?(): readonly DoorAddress[];
  /** Rejects with INVALID_ARGUMENT where this is no cell. */
  operate(request: CellRequest): Promise<CellAnswer>;
}
