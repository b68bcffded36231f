import { expect, test } from "vitest";
import { deliveredTexts, leaderOf, newCell, propose, run } from "./cell.ts";
test("smoke", () => {
  for (const size of [1, 2, 3, 5]) {
    const cell = newCell({ size });
    run(cell, 20);
    const l = leaderOf(cell);
    expect(l).toBeDefined();
    expect(propose(cell, l!, "a", "b")).toBe(true);
    cell.stabilize();
    for (const s of cell.seats) expect(deliveredTexts(s)).toEqual(["a", "b"]);
    cell.crash(l!);
    run(cell, 30);
    const l2 = leaderOf(cell);
    if (size > 2) {
      expect(l2).toBeDefined();
      propose(cell, l2!, "c");
      cell.stabilize();
    }
    cell.restart(l!);
    run(cell, 30);
    for (const s of cell.seats) if (size > 2) expect(deliveredTexts(s)).toEqual(["a", "b", "c"]);
    console.log(
      size,
      l,
      l2,
      leaderOf(cell),
      JSON.stringify(cell.seats.map((s) => s.core!.inspect().role + s.core!.inspect().term)),
    );
  }
});
