/** What one atomic write to a group of the write-ahead log may hold: engines with consensus need more than appends. */

/** All of it becomes durable together, in one frame, or nothing does. Applied in the order of the fields. */
export interface GroupWrite {
  readonly hardState?: Uint8Array;
  /** The group's log begins anew: every record is gone, the next one is `restartAt`, which may lie above or below. */
  readonly restartAt?: number;
  /** Records up to and including this index are no longer needed. */
  readonly trimUpTo?: number;
  /** Records from this index on are gone; `records` takes their place. At most one past the last. */
  readonly truncateFrom?: number;
  /** Go behind the last record. */
  readonly records?: readonly Uint8Array[];
}
