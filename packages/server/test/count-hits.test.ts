/** Counting hits through a client: every field once, a bounded number under way, the first refusal ends it. */
import { expect, test } from "vitest";
import { countHits, type CountHitsOptions } from "../src/access-log/count-hits.ts";
import type { Hit } from "../src/access-log/parser.ts";

const hits = (count: number): Hit[] =>
  Array.from({ length: count }, (_, index) => ({ path: `/${index % 3}`, status: "200", client: `c${index % 2}` }));

/** Answers each add a turn later; `refuse` makes it fail instead. */
function fakeClient(refuse: (add: number) => boolean = () => false): {
  readonly client: CountHitsOptions["client"];
  readonly counts: Map<string, number>;
  mostOpen(): number;
} {
  const counts = new Map<string, number>();
  let adds = 0;
  let open = 0;
  let mostOpen = 0;
  const add = async (key: string): Promise<bigint> => {
    const number = ++adds;
    mostOpen = Math.max(mostOpen, ++open);
    await new Promise((resolve) => setImmediate(resolve));
    open -= 1;
    if (refuse(number)) throw new Error(`refused ${number}`);
    counts.set(key, (counts.get(key) ?? 0) + 1);
    return 0n;
  };
  const client = { counter: (key: string) => ({ add: () => add(key) }) } as unknown as CountHitsOptions["client"];
  return { client, counts, mostOpen: () => mostOpen };
}

test("each field of each hit is added once; progress ends at all of them", async () => {
  const { client, counts } = fakeClient();
  const progress: number[] = [];
  const counted = await countHits({
    client,
    hits: hits(60),
    fields: ["path", "client"],
    prefix: "p:",
    onProgress: (done) => progress.push(done),
  });
  expect(counted).toBe(60);
  expect(Object.fromEntries(counts)).toEqual({
    "p:path:/0": 20,
    "p:path:/1": 20,
    "p:path:/2": 20,
    "p:client:c0": 30,
    "p:client:c1": 30,
  });
  expect(progress).toEqual(Array.from({ length: 60 }, (_, index) => index + 1));
});

test("never more adds under way than allowed", async () => {
  const { client, mostOpen } = fakeClient();
  await countHits({ client, hits: hits(500), fields: ["path"], prefix: "", addsOpenMax: 7 });
  expect(mostOpen()).toBe(7);
});

test.each([1, 250, 500])("the refusal of add %i ends the counting", async (number) => {
  const { client } = fakeClient((add) => add === number);
  const counting = countHits({ client, hits: hits(500), fields: ["path"], prefix: "", addsOpenMax: 10 });
  await expect(counting).rejects.toThrow(`refused ${number}`);
});

test("a source that fails ends the counting", async () => {
  const { client } = fakeClient();
  const broken = (function* (): Generator<Hit> {
    yield* hits(5);
    throw new Error("disk gone");
  })();
  await expect(countHits({ client, hits: broken, fields: ["path"], prefix: "" })).rejects.toThrow("disk gone");
});

test("no hits at all", async () => {
  expect(await countHits({ client: fakeClient().client, hits: [], fields: ["path"], prefix: "" })).toBe(0);
});
