import { test } from "vitest";
import { explore } from "./exploration.ts";
const all = [
  "no-noop-fill",
  "read-before-recovered",
  "barrier-reused",
  "reported-lower-ballot-wins",
  "seal-forgotten-in-phase-1",
  "chosen-in-another-ballot",
  "stale-higher-slots-kept",
  "phase-1-takes-half-an-answer",
  "install-forgets-accepted",
] as const;
test.each(all)(
  "%s",
  (m) => {
    let found = 0,
      first = 0,
      msg = "";
    for (let seed = 1; seed <= 300 && found < 3; seed++) {
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
