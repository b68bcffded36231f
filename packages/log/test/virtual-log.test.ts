/** Switching a virtual log live: appends, readers and crashes across segments. */
import { foundingConfiguration, memberId } from "@quipu/consensus";
import { lsn, type Lsn } from "@quipu/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Appended,
  fileMetadataStore,
  decodeLogWords,
  encodeLogWords,
  localEngine,
  type Loglet,
  type LogletEngine,
  type LogReplication,
  memoryEngine,
  memoryMetadataStore,
  type MetadataStore,
  openVirtualLog,
  type VirtualLog,
} from "../src/mod.ts";
import { makeDisk, openLog } from "./wal-harness.ts";

const record = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

interface Setup {
  readonly metadata: MetadataStore;
  readonly engines: Record<string, LogletEngine<Loglet>>;
  open(): Promise<VirtualLog>;
}

function memorySetup(): Setup {
  const metadata = memoryMetadataStore();
  const engines = { memory: memoryEngine(), other: memoryEngine() };
  return {
    metadata,
    engines,
    open: () => openVirtualLog({ metadata, key: "chain", engines, initialEngine: "memory" }),
  };
}

function collect(log: VirtualLog, from = 1): string[] {
  const texts: string[] = [];
  log.read(lsn(from), (delivery) => {
    if (delivery.type === "gap") texts.push(`gap ${delivery.trimmedUpTo}`);
    else texts.push(...delivery.records.map((bytes, i) => `${delivery.first + i}:${textOf(bytes)}`));
  });
  return texts;
}

async function settle(): Promise<void> {
  for (let i = 0; i < 300; i++) await Promise.resolve();
}

describe("reconfigure", () => {
  test("positions go on, readers old and new cross over, the chain is contiguous", async () => {
    const log = await memorySetup().open();
    const early = collect(log);
    await log.append([record("a"), record("b")]);
    const chain = await log.reconfigure("other");
    expect(chain.segments).toMatchObject([
      { base: 1, engine: "memory", end: 3 },
      { base: 3, engine: "other" },
    ]);
    expect(await log.append([record("c")])).toEqual({ first: 3, last: 3 });
    await log.reconfigure("memory");
    await log.reconfigure("other");
    expect(await log.append([record("d")])).toEqual({ first: 4, last: 4 });
    expect(log.tailNow()).toEqual({ tail: 5, sealed: false });
    const late = collect(log);
    const middle = collect(log, 4);
    await settle();
    expect(early).toEqual(["1:a", "2:b", "3:c", "4:d"]);
    expect(late).toEqual(early);
    expect(middle).toEqual(["4:d"]);
    await log.close();
  });

  test("an append that saw the seal is appended again, once, and pipelined appends keep their order", async () => {
    const log = await memorySetup().open();
    const texts = collect(log);
    const appends: Promise<Appended>[] = [];
    const switches: Promise<unknown>[] = [];
    for (let i = 0; i < 200; i++) {
      appends.push(log.append([record(`${i}`)]));
      if (i % 20 === 10) switches.push(log.reconfigure(i % 40 === 10 ? "other" : "memory"));
      if (i % 3 === 0) await Promise.resolve();
      // Of two at once one would follow the other.
      if (i % 20 === 9) await switches.at(-1);
    }
    const positions = (await Promise.all(appends)).map(({ first }) => first as number);
    await Promise.all(switches);
    expect(log.chain().segments).toHaveLength(11);
    expect(positions).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
    await settle();
    expect(texts).toEqual(Array.from({ length: 200 }, (_, i) => `${i + 1}:${i}`));
    await log.close();
  });

  test("any interleaving of appends, switches by two handles and new readers gives one log", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom("append", "append", "switch", "turn", "read"), { maxLength: 60 }),
        fc.array(fc.boolean(), { minLength: 60, maxLength: 60 }),
        async (steps, sides) => {
          const setup = memorySetup();
          const handles = [await setup.open(), await setup.open()] as const;
          const appends: Promise<readonly [string, number]>[] = [];
          const rest: Promise<unknown>[] = [];
          const readers: string[][] = [];
          for (const [i, step] of steps.entries()) {
            const log = handles[sides[i] === true ? 1 : 0];
            if (step === "append") appends.push(log.append([record(`${i}`)]).then(({ first }) => [`${i}`, first]));
            else if (step === "switch") rest.push(log.reconfigure("other"));
            else if (step === "read") readers.push(collect(log));
            else await Promise.resolve();
          }
          const acknowledged = await Promise.all(appends);
          await Promise.all(rest);
          for (const log of handles) {
            await log.tail();
            readers.push(collect(log));
          }
          await settle();
          const expected = acknowledged.toSorted((a, b) => a[1] - b[1]).map(([text, first]) => `${first}:${text}`);
          for (const reader of readers) expect(reader).toEqual(expected);
        },
      ),
      { numRuns: 60, seed: 4 },
    );
  });

  test("tail follows a chain that another handle changed", async () => {
    const setup = memorySetup();
    const [mine, theirs] = [await setup.open(), await setup.open()];
    await theirs.append([record("a")]);
    await theirs.reconfigure("other");
    await theirs.append([record("b")]);
    expect(mine.tailNow()).toBeUndefined();
    expect(await mine.tail()).toEqual({ tail: 3, sealed: false });
    expect(mine.chain()).toEqual(theirs.chain());
  });
});

/** What a sealer does before it dies. */
async function sealFirstSegment(setup: Setup, log: VirtualLog): Promise<void> {
  const loglet = await setup.engines["memory"]?.open(log.chain().segments[0]?.parameters ?? "");
  await loglet?.seal();
}

describe("a sealer that dies", () => {
  test("after any step leaves a switch that somebody else completes, to the same chain", async () => {
    for (const [step, isSwitched] of [
      ["announced", false],
      ["announced", true],
      ["sealed", false],
      ["extended", false],
    ] as const) {
      const setup = memorySetup();
      const dies = new Error("killed");
      let changes = 0;
      const dying = await openVirtualLog({
        key: "chain",
        engines: {
          ...setup.engines,
          memory: {
            ...(setup.engines["memory"] ?? memoryEngine()),
            open: async (parameters) => {
              const loglet = await setup.engines["memory"]?.open(parameters);
              if (step === "announced" && loglet !== undefined) loglet.seal = () => Promise.reject(dies);
              return loglet;
            },
          },
        },
        initialEngine: "memory",
        metadata: {
          get: (key) => setup.metadata.get(key),
          compareAndSet: async (...change) => {
            if (++changes === 3 && step === "sealed") throw dies;
            const isSet = await setup.metadata.compareAndSet(...change);
            if (changes === 3 && step === "extended") throw dies;
            return isSet;
          },
        },
      });
      const other = await setup.open();
      const texts = collect(other);
      await dying.append([record("a")]);
      await expect(dying.reconfigure("other")).rejects.toThrow(dies);
      if (step === "announced") {
        // Nothing is sealed yet: a watchdog carries on, or an operator's next switch.
        expect(await other.append([record("b")])).toEqual({ first: 2, last: 2 });
        await (isSwitched ? other.reconfigure("memory") : other.finishSealedChain());
        const engines = other.chain().segments.map(({ engine }) => engine);
        expect(engines).toEqual(isSwitched ? ["memory", "other", "memory"] : ["memory", "other"]);
      } else {
        expect(await other.append([record("b")])).toEqual({ first: 2, last: 2 });
        expect(other.chain().segments.map(({ engine }) => engine)).toEqual(["memory", "other"]);
      }
      await settle();
      expect(texts, step).toEqual(["1:a", "2:b"]);
    }
  });

  test("leaves a sealed chain, which the watchdog completes, once", async () => {
    const setup = memorySetup();
    const log = await setup.open();
    await log.append([record("a")]);
    await sealFirstSegment(setup, log);
    await Promise.all([log.finishSealedChain(), log.finishSealedChain()]);
    expect(log.chain().segments).toHaveLength(2);
    await log.finishSealedChain();
    expect(log.chain().segments).toHaveLength(2);
    expect(await log.append([record("b")])).toEqual({ first: 2, last: 2 });
  });

  test("leaves a sealed chain, which an append or a restart completes", async () => {
    for (const restart of [false, true]) {
      const setup = memorySetup();
      let log = await setup.open();
      await log.append([record("a")]);
      await sealFirstSegment(setup, log);
      if (restart) log = await setup.open();
      expect(await log.append([record("b")])).toEqual({ first: 2, last: 2 });
      expect(log.chain().segments).toHaveLength(2);
    }
  });
});

test("appends that a sealed engine refuses late are not overtaken by later ones", async () => {
  const setup = memorySetup();
  const inner = setup.engines["memory"] ?? memoryEngine();
  let refusals = 0;
  setup.engines["memory"] = {
    ...inner,
    open: async (parameters) => {
      const loglet = await inner.open(parameters);
      return Object.assign(Object.create(loglet) as typeof loglet, {
        append: (records: readonly Uint8Array[]) =>
          loglet.append(records).catch(async (error: unknown) => {
            // The first refusal starts the switch; the next ones come when it could long be over.
            if (++refusals > 1) await settle();
            throw error;
          }),
        tail: () => loglet.tail(),
        tailNow: () => loglet.tailNow?.(),
        seal: () => loglet.seal(),
        close: () => loglet.close(),
        read: (...read: Parameters<typeof loglet.read>) => loglet.read(...read),
      });
    },
  };
  const log = await setup.open();
  await sealFirstSegment(setup, log);
  const appends = [1, 2, 3].map((i) => log.append([record(`${i}`)]));
  for (let i = 0; i < 10; i++) await Promise.resolve();
  appends.push(log.append([record("4")]));
  expect((await Promise.all(appends)).map(({ first }) => first)).toEqual([1, 2, 3, 4]);
  expect(refusals).toBe(3);
});

test("a switch waits for no pause between appends", async () => {
  const log = await memorySetup().open();
  let isOver = false;
  // Two writers that never rest: there is always an append under way.
  const write = async (): Promise<void> => {
    while (!isOver) await log.append([record("a")]);
  };
  const writers = [write(), Promise.resolve().then(write)];
  const switched = log.reconfigure("other");
  await settle();
  const { segments } = log.chain();
  isOver = true;
  await Promise.all([...writers, switched]);
  expect(segments.map(({ engine }) => engine)).toEqual(["memory", "other"]);
});

test("what a metadata store took although it said no is not given back", async () => {
  const setup = memorySetup();
  const discarded: string[] = [];
  const other = memoryEngine();
  setup.engines["other"] = {
    ...other,
    discard: (parameters) => {
      discarded.push(parameters);
      return other.discard(parameters);
    },
  };
  let lies = 0;
  const log = await openVirtualLog({
    key: "chain",
    engines: setup.engines,
    initialEngine: "memory",
    metadata: {
      get: (key) => setup.metadata.get(key),
      compareAndSet: async (...change) => (await setup.metadata.compareAndSet(...change)) && --lies < 0,
    },
  });
  lies = 1;
  await log.reconfigure("other");
  expect(discarded).toEqual([]);
  expect(await log.append([record("a")])).toEqual({ first: 1, last: 1 });
  expect(log.chain().segments.map(({ engine }) => engine)).toEqual(["memory", "other"]);
});

describe("failures", () => {
  test("an engine that cannot prepare fails the switch, and the log goes on as it was", async () => {
    const setup = memorySetup();
    setup.engines["broken"] = { ...memoryEngine(), prepare: () => Promise.reject(new Error("no room")) };
    const log = await setup.open();
    const appended = log.append([record("a")]);
    const failed = log.reconfigure("broken");
    const during = log.append([record("b")]);
    await expect(failed).rejects.toThrow("no room");
    expect([await appended, await during]).toEqual([
      { first: 1, last: 1 },
      { first: 2, last: 2 },
    ]);
    await expect(log.reconfigure("unheard of")).rejects.toMatchObject({ code: "INVALID_CONFIGURATION" });
    expect(log.chain().segments).toHaveLength(1);
  });

  test("a metadata store that is gone after the seal fails appends instead of turning for ever", async () => {
    const setup = memorySetup();
    let changesLeft = Number.POSITIVE_INFINITY;
    const log = await openVirtualLog({
      key: "chain",
      engines: setup.engines,
      initialEngine: "memory",
      metadata: {
        get: (key) => setup.metadata.get(key),
        compareAndSet: (...change) =>
          --changesLeft < 0
            ? Promise.reject(new Error("metadata store down"))
            : setup.metadata.compareAndSet(...change),
      },
    });
    // The switch is announced, and that is all.
    changesLeft = 1;
    await expect(log.reconfigure("other")).rejects.toThrow("down");
    await expect(log.append([record("a")])).rejects.toMatchObject({ code: "LOG_SEALED" });
    changesLeft = Number.POSITIVE_INFINITY;
    expect(await log.append([record("b")])).toEqual({ first: 1, last: 1 });
    expect(log.chain().segments.map(({ engine }) => engine)).toEqual(["memory", "other"]);
  });
});

test("trim drops whole segments from the chain and gives readers below a gap", async () => {
  const log = await memorySetup().open();
  await log.append([record("a"), record("b")]);
  await log.reconfigure("other");
  await log.append([record("c"), record("d")]);
  await log.trim(lsn(3));
  expect(log.chain().segments).toMatchObject([{ base: 3, engine: "other" }]);
  const texts = collect(log);
  await settle();
  expect(texts).toEqual(["gap 2", "gap 3", "4:d"]);
});

test("local to local, with crashes at every I/O of a switch: nothing acknowledged is lost, the log goes on", async () => {
  let operations = Number.POSITIVE_INFINITY;
  for (let crashAt = 0; crashAt < operations; crashAt++) {
    const disk = makeDisk(crashAt + 1);
    const open = async (on: typeof disk): Promise<VirtualLog> => {
      const { wal } = await openLog(on);
      const metadata = await fileMetadataStore(on, "wal");
      return openVirtualLog({ metadata, key: "chain", engines: { local: localEngine(wal) }, initialEngine: "local" });
    };
    const log = await open(disk);
    await log.append([record("a")]);
    await settle();
    const start = disk.operations;
    let after: typeof disk | undefined;
    const crashed = new Promise<void>((resolve) => {
      disk.fault = ({ number }) => {
        if (number === start + crashAt) {
          after = disk.crash();
          resolve();
        }
        return undefined;
      };
    });
    const acknowledged: string[] = ["1:a"];
    const work = async (): Promise<void> => {
      await log.reconfigure("local");
      const { first } = await log.append([record("b")]);
      acknowledged.push(`${first}:b`);
    };
    await Promise.race([work(), crashed]);
    if (after === undefined) {
      operations = disk.operations - start;
      continue;
    }
    const again = await open(after);
    const { tail } = await again.tail();
    const texts = collect(again);
    await settle();
    expect(texts.slice(0, acknowledged.length)).toEqual(acknowledged);
    expect(tail).toBe(texts.length + 1);
    const { first } = await again.append([record("c")]);
    expect(first).toBe(tail);
  }
  expect(operations).toBeGreaterThan(5);
});

describe("replication", () => {
  /** The memory engine, as if it kept its log on several nodes: remembers what it was asked, in its own positions. */
  function replicatedEngine(): {
    readonly engine: LogletEngine;
    readonly asked: unknown[];
    need(atLeast: number): void;
  } {
    const inner = memoryEngine();
    const asked: unknown[] = [];
    const handlers: ((source: number, atLeast: Lsn) => void)[] = [];
    const replication: LogReplication = {
      startAt: (position) => Uint8Array.of(position),
      installed: async (start) => void asked.push(`installed ${start.join()}`),
      configuration: () => foundingConfiguration([memberId(1)]),
      agreedUpTo: () => lsn(0),
      onSnapshotNeeded: (handler) => void handlers.push(handler),
    };
    return {
      asked,
      need: (atLeast) => handlers.forEach((handler) => handler(2, lsn(atLeast))),
      engine: { ...inner, open: async (parameters) => Object.assign(await inner.open(parameters), { replication }) },
    };
  }

  test("is that of the present segment, in positions of the log; handlers stay over a change of the chain", async () => {
    const replicated = replicatedEngine();
    const engines = { memory: memoryEngine(), other: replicated.engine };
    const log = await openVirtualLog({ metadata: memoryMetadataStore(), key: "c", engines, initialEngine: "other" });
    const needed: unknown[] = [];
    log.replication?.()?.onSnapshotNeeded((source, atLeast) => needed.push([source, atLeast]));
    await log.append([record("a"), record("b"), record("c")]);
    const words = (position: number): Uint8Array | undefined => {
      const bytes = log.replication?.()?.startAt(lsn(position));
      return bytes === undefined ? undefined : decodeLogWords(bytes)?.words;
    };
    expect(words(2)).toEqual(Uint8Array.of(2));
    await log.reconfigure("memory");
    expect(log.replication?.()).toBeUndefined();
    await log.reconfigure("other");
    expect(log.chain().segments.at(-1)?.base).toBe(4);
    expect(words(5)).toEqual(Uint8Array.of(2));
    // Between two segments the later one speaks; further down, the one that holds the position.
    expect(words(3)).toEqual(Uint8Array.of(0));
    expect(words(2)).toEqual(Uint8Array.of(2));
    const [first, , last] = log.chain().segments;
    const told = { engine: "other", parameters: last?.parameters ?? "", words: Uint8Array.of(7) };
    await log.replication?.()?.installed(encodeLogWords(told));
    expect(replicated.asked).toEqual(["installed 7"]);
    await expect(log.replication?.()?.installed(Uint8Array.of(7))).rejects.toMatchObject({ code: "LOG_CORRUPT" });
    const gone = encodeLogWords({ ...told, parameters: "nine" });
    await expect(log.replication?.()?.installed(gone)).rejects.toMatchObject({ code: "LOG_CORRUPT" });
    // Both of its loglets say it: that of the first segment counts only while somebody still reads there.
    replicated.need(1);
    expect(needed).toEqual([[2, 4]]);
    log.read(lsn(2), () => undefined);
    replicated.need(1);
    expect(needed.slice(1)).toEqual([
      [2, 1],
      [2, 4],
    ]);
    expect(first?.end).toBe(4);
    await log.close();
  });
});
