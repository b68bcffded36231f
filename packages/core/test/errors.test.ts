/** docs/errors.md and the catalogue say the same, both ways; so the page can be trusted and is never forgotten. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { errorCatalogue, type ErrorCode, QuipuError } from "@quipu/core";
import { describe, expect, test } from "vitest";

interface Row {
  readonly code: string;
  readonly outcome: string;
  readonly status: string;
  readonly resp: string;
  readonly summary: string;
  readonly whatToDo: string;
}

const page = readFileSync(path.resolve(import.meta.dirname, "../../../docs/errors.md"), "utf8");

/** Rows of the table: `| `CODE` | outcome | status | `WORD` | meaning | what to do |`. */
function documentedRows(): readonly Row[] {
  return page
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => {
      const [code = "", outcome = "", status = "", resp = "", summary = "", whatToDo = ""] = line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim().replace(/^`(.*)`$/, "$1"));
      return { code, outcome, status, resp, summary, whatToDo };
    });
}

const rows = documentedRows();
const codes = Object.keys(errorCatalogue) as readonly ErrorCode[];

describe("docs/errors.md", () => {
  test("lists every code once, in the order of the catalogue", () => {
    expect(rows.map((row) => row.code)).toEqual(codes);
  });

  test.each(codes)("%s: same outcome, status, word and meaning; and says what to do", (code) => {
    const { outcome, status, resp, summary } = errorCatalogue[code];
    const row = rows.find((candidate) => candidate.code === code);
    expect(row).toMatchObject({ outcome, status: String(status), resp, summary });
    expect(row?.whatToDo).toMatch(/^[A-Z].*\.$/);
  });
});

describe("the catalogue", () => {
  test.each(codes)("%s is an HTTP error, a RESP word, a sentence", (code) => {
    const { status, resp, summary } = errorCatalogue[code];
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(600);
    expect(resp).toMatch(/^[A-Z]+$/);
    expect(summary).toMatch(/^[A-Z].*\.$/);
  });

  // A client that sees 4xx may repair its request at leisure; where the change may have been made, it must not (P7).
  test.each(codes.filter((code) => errorCatalogue[code].outcome === "unknown"))(
    "%s is unknown, so it is the server's failure (5xx) and INDOUBT",
    (code) => {
      expect(errorCatalogue[code].status).toBeGreaterThanOrEqual(500);
      expect(errorCatalogue[code].resp).toBe("INDOUBT");
    },
  );
});

describe("QuipuError", () => {
  test("takes its outcome from the catalogue, unless an attempt's outcome is worse", () => {
    expect(new QuipuError("OVERLOADED", "full").outcome).toBe("definite");
    expect(new QuipuError("INDOUBT", "timeout").outcome).toBe("unknown");
    expect(new QuipuError("OVERLOADED", "full", { outcome: "unknown" }).outcome).toBe("unknown");
  });

  test("carries code, message and cause", () => {
    const cause = new Error("below");
    const error = new QuipuError("DISK_FAILED", "fsync failed", { cause });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: "QuipuError", code: "DISK_FAILED", message: "fsync failed", cause });
    expect("cause" in new QuipuError("NOT_FOUND", "no such counter")).toBe(false);
  });
});
