import { expect, test } from "vitest";
import { Authenticator } from "../src/authenticator.ts";

test("without tokens nothing is required", () => {
  const open = new Authenticator([]);
  expect(open.required).toBe(false);
  expect(open.accepts("")).toBe(true);
});

test("each known token is accepted, as text or bytes; nothing near it is", () => {
  const guarded = new Authenticator(["first-token", "second-token"]);
  expect(guarded.required).toBe(true);
  expect(guarded.accepts("first-token")).toBe(true);
  expect(guarded.accepts(new TextEncoder().encode("second-token"))).toBe(true);
  for (const wrong of [
    "",
    "first-toke",
    "first-token ",
    "FIRST-TOKEN",
    "first-tokensecond-token",
    "first-token,second-token",
  ]) {
    expect(guarded.accepts(wrong), wrong).toBe(false);
  }
});

test("one token given twice still works", () => {
  const guarded = new Authenticator(["same", "same"]);
  expect(guarded.accepts("same")).toBe(true);
  expect(guarded.accepts("other")).toBe(false);
});
