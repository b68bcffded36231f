/** What a node says about itself: /v1/cluster, /metrics and `quipu status` all read this one shape. */

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface NodeEndpoints {
  readonly resp: ListenAddress;
  readonly http: ListenAddress;
}

export interface ChainLink {
  /** First position of this segment of the log. */
  readonly base: string;
  readonly engine: string;
  /** First position that is no longer in it; null while it is the open one. */
  readonly end: string | null;
}

/** One node of the cell, as the answering node knows it. */
export interface CellNodeStatus {
  readonly name: string;
  /** Its number in the cell; null while it has none. */
  readonly node: number | null;
  /** Of its present disk; null: it has not joined. */
  readonly member: number | null;
  readonly address: string;
  /** In the configuration in force: `learner` gets the log but has no vote, `none` is in no configuration. */
  readonly standing: "voter" | "learner" | "none";
  readonly isLeader: boolean;
  /** False: nothing was heard of it for some seconds. Of the answering node itself: true. */
  readonly isReachable: boolean;
  readonly isReady: boolean;
  /** What its shard does: loading, replaying, serving, fetching, stopped; null: not known. */
  readonly phase: string | null;
  readonly version: string | null;
  readonly appliedPosition: string | null;
  /** Log positions between it and the furthest commit that the answering node knows of. */
  readonly lag: number | null;
  readonly roundTripMs: number | null;
  readonly resp: ListenAddress | null;
  readonly http: ListenAddress | null;
  /** Why it cannot be reached, or was refused. */
  readonly problem: string | null;
}

export interface CellStatus {
  /** Hexadecimal; null while the cell is being formed. */
  readonly id: string | null;
  readonly name: string;
  /** What this node waits for before it can serve; null: for nothing. */
  readonly waitingFor: string | null;
  readonly role: string;
  readonly term: number;
  readonly leader: string | null;
  readonly committedPosition: string;
  /** Of the records written now: what the oldest version in the cell understands. */
  readonly featureLevel: number;
  /** The newest position at which a majority has the state of this node; "0": not compared yet. */
  readonly comparedPosition: string;
  /** Times that this node's state was found to differ from that of a majority. */
  readonly divergences: number;
  readonly nodes: readonly CellNodeStatus[];
}

export interface NodeStatus {
  readonly version: string;
  readonly node: number;
  /** How many times this node has started on this data directory. */
  readonly incarnation: number;
  readonly uptimeSeconds: number;
  readonly ready: boolean;
  /** True while a limit is reached and changes are refused. */
  readonly overloaded: boolean;
  readonly endpoints: NodeEndpoints;
  readonly engine: string;
  readonly chain: readonly ChainLink[];
  readonly shards: readonly ShardStatus[];
  /** null: no cell, but a single process or a node in front of a service. */
  readonly cell: CellStatus | null;
  /** What it waits for before it can serve, where that is a service; null, or absent: nothing. Of a cell: see there. */
  readonly waitingFor?: string | null;
  readonly limits: Readonly<Record<string, number>>;
}

export interface ShardStatus {
  readonly shard: number;
  /** The last record in the state. */
  readonly appliedPosition: string;
  /** The first unwritten position of the log. */
  readonly tailPosition: string;
  /** The last record that the state store holds; a restart replays the records above it. */
  readonly checkpointedPosition: string;
  readonly logTimeMs: string;
  readonly keys: number;
  readonly keysWithExpiry: number;
  readonly sessions: number;
  readonly idempotencyEntries: number;
  readonly expiredKeys: number;
  /** null for some seconds after a start: what was loaded is hashed in the background. */
  readonly stateHash: string | null;
  readonly dirtyEntries: number;
  readonly queuedCommands: number;
  readonly queuedBytes: number;
  readonly recordsApplied: number;
  readonly checkpoints: number;
  readonly longestCheckpointSliceMs: number;
}
