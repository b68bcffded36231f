/** What a node says about itself: /v1/cluster, /metrics and `quipu status` all read this one shape. */

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface ChainLink {
  /** First position of this segment of the log. */
  readonly base: string;
  readonly engine: string;
  /** First position that is no longer in it; null while it is the open one. */
  readonly end: string | null;
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
  readonly endpoints: { readonly resp: ListenAddress; readonly http: ListenAddress };
  readonly engine: string;
  readonly chain: readonly ChainLink[];
  readonly shards: readonly ShardStatus[];
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
