import { test } from "vitest";
import { explore } from "./exploration.ts";
const all = [
  "own-value-although-one-was-reported",
  "no-noop-fill",
  "promise-not-durable",
  "accept-not-durable",
  "leader-counts-itself-early",
  "trimmed-acceptor-says-empty",
  "accepts-below-promise",
  "ballot-without-node",
  "stale-higher-slots-kept",
  "barrier-without-quorum",
  "barrier-reused",
  "read-before-recovered",
  "phase-1-quorum-too-small",
  "phase-1-takes-half-an-answer",
  "reported-lower-ballot-wins",
  "seal-forgotten-in-phase-1",
  "chosen-in-another-ballot",
  "install-forgets-accepted",
  "proposes-behind-seal",
] as const;
test.each(all)(
  "%s",
  (m) => {
    let found = 0,
      first = 0,
      msg = "";
    for (let seed = 1; seed <= 100 && found < 3; seed++) {
      const r = explore(seed, 3000, m);
      if (r.failure) {
        found++;
        if (!first) {
          first = seed;
          msg = r.failure.slice(0, 150);
        }
      }
    }
    console.log(m, found, first, msg);
  },
  200000,
);
