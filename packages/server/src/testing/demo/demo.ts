/**
 * The demo: counts an access log through the SDK while the server is killed twice, then compares every counter with
 * an independent count. `npm run demo` shows it, a test runs it in a short form.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Client, connect } from "@quipu/client";
import { SeededRandom } from "@quipu/core";
import { countHits } from "../access-log/count-hits.ts";
import { FileProgress, readHits } from "../access-log/file.ts";
import { formatAccessLogLine, generateHits } from "../access-log/generator.ts";
import { type Hit, hitFields, parseAccessLogLine } from "../access-log/parser.ts";
import { type Difference, Tally } from "../access-log/tally.ts";
import { fetchStatus } from "../cli/endpoint.ts";
import { Progress, type ProgressOutput } from "../cli/terminal/progress.ts";
import { formatCount } from "../cli/terminal/table.ts";
import { ChildServer } from "../local-cell/child-server.ts";

export interface DemoOptions {
  /** A file in Combined Log Format; else `hits` hits are generated. */
  readonly input?: string;
  readonly hits: number;
  readonly seed: number;
  /** `kill -9` at equal distances. */
  readonly kills: number;
  readonly output: ProgressOutput;
}

export interface DemoResult {
  readonly hits: number;
  readonly linesRefused: number;
  readonly seconds: number;
  readonly kills: readonly { readonly afterHits: number; readonly downMs: number }[];
  readonly counters: number;
  /** Counters that the server holds beyond the expected ones. */
  readonly surplusKeys: number;
  readonly differences: readonly Difference[];
  readonly topPaths: readonly { readonly path: string; readonly expected: bigint; readonly found: bigint }[];
}

const prefix = "hits:";
/** Of the generated log: a middling site. */
const pathCount = 5000;
const clientCount = 2000;
/** Adds under way: a small part of all, so that a kill comes in the middle of the counting. */
const addsOpenMax = 4096;
const topLength = 10;
/** A start on a busy machine takes a second or two; an add waits for it instead of failing. */
const requestTimeoutMs = 60_000;

/** The hits, as often as asked for. The generated ones go through the text form, as a file would. */
interface Source {
  feed(): Iterable<Hit> | AsyncIterable<Hit>;
  /** Counts with nothing but a map. */
  tally(): Promise<{ readonly tally: Tally; readonly hits: number; readonly linesRefused: number }>;
}

/** What must not outlive the demo. */
export class DemoResources {
  readonly directory: string = mkdtempSync(path.join(tmpdir(), "quipu-demo-"));
  server: ChildServer | undefined;
  client: Client | undefined;

  /** At once, also from a signal handler. */
  dispose(): void {
    this.server?.killNow();
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

export async function runDemo(options: DemoOptions, resources: DemoResources): Promise<DemoResult> {
  const source = options.input === undefined ? generatedSource(options) : fileSource(options.input);
  const expected = await source.tally();
  if (expected.hits <= options.kills) throw new Error(`${expected.hits} hits are too few for ${options.kills} kills`);
  const server = await ChildServer.start({
    dataDirectory: resources.directory,
    extraArguments: ["--log-level", "error"],
  });
  resources.server = server;
  const client = await connect(server.url, { requestTimeoutMs });
  resources.client = client;
  const bar = new Progress({
    label: "counting",
    total: expected.hits,
    output: options.output,
    nowMs: () => performance.now(),
  });
  const killer = new Killer(server, expected.hits, options.kills, bar);
  const startMs = performance.now();
  const hits = await Promise.race([
    countHits({
      client,
      hits: source.feed(),
      fields: hitFields,
      prefix,
      addsOpenMax: Math.min(addsOpenMax, Math.max(1, Math.floor(expected.hits / 10))),
      onProgress: (count) => {
        bar.update(count);
        killer.reached(count);
      },
    }),
    killer.failure,
  ]);
  await killer.finished();
  const seconds = (performance.now() - startMs) / 1000;
  bar.finish(hits);
  const differences = await compare(client, expected.tally);
  const found = await readTop(client, expected.tally);
  const keys = (await fetchStatus(server.httpUrl, {})).shards[0]?.keys ?? 0;
  await client.close();
  await server.stop("SIGTERM");
  return {
    hits,
    linesRefused: expected.linesRefused,
    seconds,
    kills: killer.kills,
    counters: expected.tally.counts.size,
    surplusKeys: keys - expected.tally.counts.size,
    differences,
    topPaths: found,
  };
}

function generatedSource(options: DemoOptions): Source {
  const generate = (): Generator<Hit> =>
    generateHits({
      random: new SeededRandom(options.seed),
      hits: options.hits,
      paths: pathCount,
      clients: clientCount,
    });
  return {
    *feed() {
      for (const hit of generate()) yield parseAccessLogLine(formatAccessLogLine(hit)) as Hit;
    },
    tally() {
      const tally = new Tally(prefix);
      for (const hit of generate()) tally.add(hit);
      return Promise.resolve({ tally, hits: options.hits, linesRefused: 0 });
    },
  };
}

function fileSource(file: string): Source {
  return {
    feed: () => readHits(file, new FileProgress()),
    async tally() {
      const tally = new Tally(prefix);
      const progress = new FileProgress();
      for await (const hit of readHits(file, progress)) tally.add(hit);
      return { tally, hits: progress.linesRead - progress.linesRefused, linesRefused: progress.linesRefused };
    },
  };
}

/** Kills and restarts the server as the count passes its marks, while the adds go on. */
class Killer {
  readonly kills: { afterHits: number; downMs: number }[] = [];
  /** Rejects where a restart fails; never resolves. */
  readonly failure: Promise<never>;
  readonly #server: ChildServer;
  readonly #marks: number[];
  readonly #bar: Progress;
  #running: Promise<void> = Promise.resolve();
  #fail: (error: unknown) => void = () => {};

  constructor(server: ChildServer, hits: number, kills: number, bar: Progress) {
    this.#server = server;
    this.#bar = bar;
    this.#marks = Array.from({ length: kills }, (_, index) => Math.floor((hits * (index + 1)) / (kills + 1)));
    this.failure = new Promise((_resolve, reject) => (this.#fail = reject));
  }

  reached(hits: number): void {
    const mark = this.#marks[0];
    if (mark === undefined || hits < mark) return;
    this.#marks.shift();
    this.#running = this.#running.then(() => this.#kill(hits)).catch((error: unknown) => this.#fail(error));
  }

  async finished(): Promise<void> {
    await Promise.race([this.failure, this.#running]);
    if (this.#marks.length > 0) throw new Error("the counting ended before every kill");
  }

  async #kill(afterHits: number): Promise<void> {
    const startMs = performance.now();
    const pid = this.#server.pid;
    await this.#server.stop("SIGKILL");
    this.#bar.note(`kill -9 ${pid} after ${formatCount(afterHits)} hits; starting again on the same data`);
    await this.#server.restart();
    const downMs = Math.round(performance.now() - startMs);
    this.#bar.note(`the server is back after ${downMs} ms`);
    this.kills.push({ afterHits, downMs });
  }
}

/** Counters read at the same time; below the SDK's limit of open operations. */
const readsOpenMax = 10_000;

async function compare(client: Client, tally: Tally): Promise<readonly Difference[]> {
  const differences: Difference[] = [];
  const all = [...tally.counts];
  for (let start = 0; start < all.length; start += readsOpenMax) {
    const page = all.slice(start, start + readsOpenMax);
    const values = await Promise.all(page.map(([key]) => client.counter(key).get()));
    for (const [index, [key, expected]] of page.entries()) {
      const found = values[index] ?? null;
      if (found !== expected) differences.push({ key, expected, found });
    }
  }
  return differences;
}

function readTop(client: Client, tally: Tally): Promise<DemoResult["topPaths"]> {
  return Promise.all(
    tally.top("path", topLength).map(async ([name, expected]) => {
      const found = await client.counter(`${prefix}path:${name}`).get();
      return { path: name, expected, found };
    }),
  );
}
