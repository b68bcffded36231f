/** Deliberate bugs behind a test-only switch: the simulator must catch every one of them. Never set in production. */

export type CounterMutation =
  | "duplicate-record-applied"
  | "fold-past-bound"
  | "expired-session-reregistered"
  | "once-entry-not-stored"
  | "expire-lazily-on-read"
  | "bounds-lost-on-set"
  | "snapshot-without-sessions"
  | "snapshot-without-idempotency"
  | "writer-gap-accepted";
