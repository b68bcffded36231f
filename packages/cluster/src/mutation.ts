/**
 * Deliberate bugs behind a test-only switch: the simulator must catch every one of them (docs/testing.md). No
 * configuration reaches these; only a test that builds a replica by hand can set them.
 */
export type ReplicaMutation =
  | "resubmit-with-new-number"
  | "read-ignores-tail"
  /** The log is read one position too late. Set by {@link CellMutation} of that name, after an installed snapshot. */
  | "snapshot-position-off-by-one";

export type CheckpointerMutation = "position-not-atomic-with-state" | "trim-before-store-sync";

/** Of one shard on a node of a cell. */
export type ShardMutation =
  /** The log begins anew before the state that it begins above is durable. */
  | "install-before-store-sync"
  /** Chunks are taken as they come: offsets, checksums and the state hash are ignored. */
  | "snapshot-chunk-unchecked"
  /** The first record above an installed snapshot is passed over. */
  | "snapshot-position-off-by-one";

export type CellMutation =
  | ShardMutation
  /** A node whose disk was lost or is damaged comes back as the member that it was, with an empty log. */
  | "rejoin-under-old-identity"
  /** Node 1 loses the bounds of a key where it is set; the simulator's own look at the state is switched off. */
  | "state-drifts-on-one-node"
  /** Each life of a node writes under the incarnation of the one before. */
  | "incarnation-not-raised";

/** Of the metadata store of a cell. */
export type MetadataMutation =
  /** What is applied is shown, and answered, before it stands in this node's file. */
  "metadata-shown-before-file";

export type FoundingMutation =
  /** The coordinator commits when it has itself accepted: the others may never have heard of the cell. */
  | "commit-before-all-accepted"
  /** A node says that it has accepted without having written it. */
  | "accept-not-durable"
  /** A node that is told of a cell takes the place of a founder in it, though its disk knows nothing of it. */
  | "empty-disk-founds";
