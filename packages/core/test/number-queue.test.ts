/** The ring of numbers beside a plain array: whatever is done, both hold the same. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { NumberQueue } from "../src/number-queue.ts";

const actions = fc.array(
  fc.record({
    type: fc.constantFrom("push", "push", "dropFirst", "cutTo", "set"),
    amount: fc.nat(300),
  }),
  { minLength: 10, maxLength: 60, size: "max" },
);

test("a queue of numbers holds what an array would", () => {
  const property = fc.property(actions, (list) => {
    const queue = new NumberQueue();
    let plain: number[] = [];
    let next = 0;
    for (const { type, amount } of list) {
      if (type === "push") {
        for (let count = amount; count > 0; count--) {
          queue.push(++next);
          plain.push(next);
        }
      } else if (type === "dropFirst") {
        queue.dropFirst(amount);
        plain = plain.slice(amount);
      } else if (type === "cutTo") {
        queue.cutTo(amount);
        plain = plain.slice(0, amount);
      } else if (amount < plain.length) {
        queue.set(amount, ++next);
        plain[amount] = next;
      }
      expect(Array.from({ length: queue.length }, (_, place) => queue.at(place))).toEqual(plain);
    }
    expect(queue.at(-1)).toBeUndefined();
    expect(queue.at(queue.length)).toBeUndefined();
  });
  fc.assert(property, { numRuns: 200 });
});

test("a place that is not there is not set", () => {
  const queue = new NumberQueue();
  queue.push(1);
  expect(() => queue.set(1, 2)).toThrow("place 1 of 1");
});
