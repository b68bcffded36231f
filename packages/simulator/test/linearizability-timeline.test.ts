/** The picture of a failing history, where it stops being linearizable, and the reading of EDN. */
import { SeededRandom } from "@quipu/core";
import { expect, test } from "vitest";
import { findBreak } from "../src/linearizability/beginnings.ts";
import { checkHistory } from "../src/linearizability/check.ts";
import { EdnError, parseEdn } from "../src/linearizability/edn.ts";
import { beginningOf, type HistoryOperation } from "../src/linearizability/history.ts";
import { keyModel } from "../src/linearizability/models.ts";
import { readKnossosHistory } from "../src/linearizability/recorded-histories.ts";
import { searchLinearization } from "../src/linearizability/search.ts";
import { drawTimeline } from "../src/linearizability/timeline.ts";
import { asked, draw } from "./linearizability-brute-force.ts";

const registers = `; Value is 0, then we concurrently write 4, read 3.
[{:process 0, :type :invoke, :f :write, :value 0} {:process 0, :type :ok, :f :write, :value 0}
 {:process 1, :type :invoke, :f :read, :value nil} {:process 2, :type :invoke, :f :write, :value 4}
 {:process :nemesis, :type :info, :f :start, :value "cut [#{:n1}]"}
 {:process 3, :type :invoke, :f :cas, :value [4 5]} {:process 3, :type :info, :f :cas, :value [4 5]}
 {:process 5, :type :invoke, :f :write, :value 3} {:process 5, :type :fail, :f :write, :value 3}
 {:process 1, :type :ok, :f :read, :value 3} {:process 2, :type :ok, :f :write, :value 4}
 {:process 6, :type :invoke, :f :read, :value nil} {:process 6, :type :ok, :f :read, :value nil}]`;

const search = (history: readonly HistoryOperation[]): ReturnType<typeof searchLinearization> =>
  searchLinearization(history, { model: keyModel({ initial: 0 }) });

/** Throws unless every element is closed in order and every attribute quoted; answers the names of elements. */
function elementsOf(svg: string): readonly string[] {
  const open: string[] = [];
  const names: string[] = [];
  const pieces = /<(\/?)([a-z]+)((?: [\w-]+="[^"<&]*(?:&\w+;[^"<&]*)*")*)(\/?)>|([^<]+)/gy;
  for (; pieces.lastIndex < svg.length;) {
    const at = pieces.lastIndex;
    const piece = pieces.exec(svg);
    if (piece === null) throw new Error(`not well formed: ${svg.slice(at, at + 60)}`);
    const [, closes, name, , empty, content] = piece;
    if (content !== undefined) expect(content).not.toMatch(/&(?!amp;|lt;|gt;|quot;)/);
    else if (closes) expect(open.pop()).toBe(name);
    else {
      names.push(name as string);
      if (!empty) open.push(name as string);
    }
  }
  expect(open).toEqual([]);
  return names;
}

test("a failing history is drawn: lanes, bars, what contradicts, the order found, the break", () => {
  const history = readKnossosHistory(registers);
  expect(history.map(({ process }) => process)).toEqual([0, 1, 2, 3, 6]);
  const verdict = search(history);
  const broken = findBreak(history, search);
  expect(broken).toMatchObject({ brokenAt: 9, returning: [{ kind: "read", result: 3 }] });
  const svg = drawTimeline(history, { title: `<"&'>\u0000\ud800`, verdict, brokenAt: 9 });
  const elements = elementsOf(svg);
  expect(elements.filter((name) => name === "title")).toHaveLength(history.length);
  expect(elements.filter((name) => name === "path")).toHaveLength(1); // The open one.
  expect(svg).toContain("&lt;&quot;&amp;'&gt;\ufffd\ufffd</text>");
  for (const process of [0, 1, 2, 3, 6]) expect(svg).toContain(`>client ${process}</text>`);
  expect(svg).toMatch(/stroke="#c62828" stroke-width="2.5"\/>\n<text [^>]*>read -&gt; 3<\/text>/);
  expect(svg).toContain(">1: set 0 -&gt; ok</text>");
  expect(svg).toContain(">linearizable before this</text>");
});

test("a long history is drawn around its contradiction; overlapping operations of one client get rows of their own", () => {
  const history: HistoryOperation[] = Array.from({ length: 5_000 }, (_, i) => ({
    ...asked({ kind: "add", argument: 1 }),
    ...{ process: i % 3, result: i === 2_500 ? 7 : i + 1, invokedAt: i * 10, returnedAt: i * 10 + 35 },
  })) as HistoryOperation[];
  const svg = drawTimeline(history, {
    title: "long",
    verdict: checkHistory(history, { initial: 0 }),
    operationsMax: 50,
  });
  expect(elementsOf(svg).filter((name) => name === "title")).toHaveLength(50);
  expect(svg).toContain("4950 operations of other keys or far away are not drawn.");
  expect(svg).toContain(">add 1 -&gt; 7</text>");
  elementsOf(drawTimeline([], { title: "empty" }));
});

test("the break is where the first unexplained answer returned", () => {
  const random = new SeededRandom(3);
  let breaks = 0;
  for (let round = 0; round < 500; round++) {
    const drawing = {
      judge: { initial: 0 },
      operationsMax: 8,
      ask: () => (random.chance(1, 2) ? asked({ kind: "read" }) : asked({ kind: "add", argument: 1 })),
      isTold: () => true,
      unknownPercent: 10,
    };
    const history = draw(random, drawing);
    const broken = findBreak(history, search);
    expect(broken === undefined).toBe(search(history).type === "linearizable");
    if (broken === undefined) continue;
    breaks += 1;
    expect(search(beginningOf(history, broken.brokenAt)).type).toBe("not-linearizable");
    expect(search(beginningOf(history, broken.brokenAt - 1)).type).toBe("linearizable");
  }
  expect(breaks).toBeGreaterThan(100);
});

test("EDN: what histories contain is read, what is broken is refused with its line", () => {
  const [map, list] = parseEdn(
    `{:a nil, :b "x\\"\\n;", :c [-1 2.5 #{:x}], "other" 1} #_(left out) (true sym #inst "2020")`,
  );
  expect(map).toEqual({
    entries: new Map<string, unknown>([
      ["a", null],
      ["b", 'x"\n;'],
      ["c", [-1, 2.5, [{ keyword: "x" }]]],
    ]),
  });
  expect(list).toEqual([true, "sym", "2020"]);
  for (const broken of ["[1", "{:a", "{:a}", '"x', ")", "#_", "[1 2\n}", "[".repeat(1_000)]) {
    expect(() => parseEdn(broken), broken).toThrow(EdnError);
  }
  expect(() => parseEdn("[1\n2\n}")).toThrow("line 3");
});

test("the check for any history takes what understands it", () => {
  const add = { ...asked({ kind: "add", argument: 1 }), result: 1 } as HistoryOperation;
  const blind = { ...add, result: undefined } as HistoryOperation;
  const check = (...history: HistoryOperation[]): string => checkHistory(history, { initial: null }).type;
  expect(check({ ...add, position: { lsn: 1, index: 0 } })).toBe("linearizable");
  expect(check(add, { ...add, position: { lsn: 1, index: 0 } })).toBe("not-linearizable");
  expect(check(add, blind)).toBe("linearizable");
  expect(check(add, { ...add, key: "other" })).toBe("linearizable");
  expect(check(add, { ...asked({ kind: "delete" }), result: false } as HistoryOperation)).toBe("linearizable");
  expect(checkHistory([add], { initial: 0, maximum: 0 }).type).toBe("not-linearizable");
});
