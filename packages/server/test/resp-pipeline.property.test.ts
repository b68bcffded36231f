/** One pipeline, cut anywhere, with the log and the tails held back at random, answers as one command at a time. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { openTestDoor } from "./resp-door.ts";
import { turns } from "./until.ts";

const key = fc.constantFrom("a", "b", "c");

const command = fc.oneof(
  { weight: 6, arbitrary: key.map((name) => `INCR ${name}`) },
  { weight: 6, arbitrary: key.map((name) => `GET ${name}`) },
  { weight: 2, arbitrary: fc.tuple(key, fc.integer({ min: -9, max: 9 })).map(([name, by]) => `INCRBY ${name} ${by}`) },
  { weight: 2, arbitrary: fc.tuple(key, fc.constantFrom("1", "x")).map(([name, value]) => `SET ${name} ${value}`) },
  {
    weight: 2,
    arbitrary: fc.constantFrom("PING", "DEL a b", "MGET a b c", "EXISTS a b", "GETDEL c", "ECHO hi", "DBSIZE"),
  },
  { weight: 2, arbitrary: fc.constantFrom("MULTI", "EXEC", "EXEC", "DISCARD", "WATCH a", "UNWATCH") },
  { weight: 1, arbitrary: fc.constantFrom("SELECT 1", "SELECT 0", "HELLO", "HELLO 3", "HELLO 2", "RESET", "WAIT 0 0") },
  {
    weight: 1,
    arbitrary: fc.constantFrom("NONSENSE", "INCR", "SET a b XX NX", "Q.BOUND a MAX 5", "Q.BOUND a MAX 5 FORCE"),
  },
  { weight: 1, arbitrary: fc.tuple(key, fc.nat(3)).map(([name, id]) => `Q.ONCE id:${id} INCR ${name}`) },
  { weight: 1, arbitrary: fc.constantFrom("CLIENT REPLY SKIP", "Q.READMODE session", "Q.READMODE linearizable") },
);

const stop = "ECHO the-end";
const stopReply = "$7\r\nthe-end\r\n";

/** Ids differ between connections. */
const withoutIds = (replies: string): string => replies.replaceAll(/(id\r\n:)\d+/g, "$1N");

test("replies do not depend on timing", async () => {
  const { client, appends, tails, setTailKnown } = await openTestDoor();
  const [piped, stepwise] = [await client(), await client()];
  const fresh = ["RESET", "CLIENT REPLY ON", "SELECT 0", "FLUSHALL"];
  await fc.assert(
    fc.asyncProperty(
      fc.array(command, { minLength: 1, maxLength: 60 }),
      fc.array(fc.tuple(fc.integer({ min: 1, max: 200 }), fc.nat(15)), { minLength: 1, maxLength: 12 }),
      async (commands, cuts) => {
        // Idempotency entries outlive FLUSHALL; a new scope per run keeps the two runs equal.
        const scope = `${Math.trunc(performance.now() * 1000)}`;
        const scoped = (kind: string): readonly string[] =>
          commands.map((each) => each.replace("Q.ONCE id:", `Q.ONCE ${scope}:${kind}:`));
        for (const each of [piped, stepwise]) {
          each.lines(...fresh, stop);
          await each.takeThrough(stopReply);
        }
        const text = [...scoped("piped"), "RESET", stop].map((line) => `${line}\r\n`).join("");
        let from = 0;
        for (const [length, what] of cuts) {
          setTailKnown((what & 1) === 0);
          if ((what & 2) === 0) appends.release();
          else appends.hold();
          if ((what & 4) === 0) tails.release();
          else tails.hold();
          piped.send(text.slice(from, from + length));
          from += length;
          await turns((what & 8) === 0 ? 1 : 4);
        }
        piped.send(text.slice(from));
        await turns(3);
        appends.release();
        tails.release();
        setTailKnown(true);
        const together = await piped.takeThrough(stopReply);

        stepwise.lines("FLUSHALL", stop);
        await stepwise.takeThrough(stopReply);
        for (const line of scoped("stepwise")) {
          stepwise.lines(line);
          await turns(4);
        }
        stepwise.lines("RESET", stop);
        expect(withoutIds(together)).toBe(withoutIds(await stepwise.takeThrough(stopReply)));
      },
    ),
    { numRuns: 60, seed: 7 },
  );
});

test("bytes of any kind never harm other connections", async () => {
  const { client } = await openTestDoor();
  const sound = await client();
  const piece = fc.oneof(
    fc.string({ unit: "binary", maxLength: 20 }),
    fc.constantFrom("*", "$", "\r\n", "*2\r\n", "$3\r\nGET\r\n", "INCR", '"', "*-1\r\n", "$-1\r\n", "MULTI\r\n", "\0"),
    fc.integer().map(String),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 30 }), async (pieces) => {
      const hostile = await client();
      hostile.send(pieces.join(""));
      hostile.end();
      await hostile.closed();
      hostile.destroy();
      expect(await sound.ask("PING")).toBe("+PONG\r\n");
    }),
    { numRuns: 150, seed: 7 },
  );
});
