/**
 * The demo: a cell of three processes counts an access log through the SDK, while its leader is killed and another node
 * hangs; then every counter is compared with an independent count. `npm run demo` shows it, a test runs a short form.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Client, connect } from "@quipu/client";
import { SeededRandom } from "@quipu/core";
import { countHits } from "../../access-log/count-hits.ts";
import { FileProgress, readHits } from "../../access-log/file.ts";
import { formatAccessLogLine, generateHits } from "../../access-log/generator.ts";
import { type Hit, hitFields, parseAccessLogLine } from "../../access-log/parser.ts";
import { type Difference, Tally } from "../../access-log/tally.ts";
import { Progress, type ProgressOutput } from "../../cli/terminal/progress.ts";
import { LocalCell } from "../../local-cell/local-cell.ts";
import { type ActEvent, Acts } from "./acts.ts";
import { dramaActs } from "./drama.ts";
import { delay } from "../delay.ts";
import { Services } from "../services.ts";
import { tourActs } from "./tour.ts";
import { WriteProbe } from "./write-probe.ts";

export interface DemoOptions {
  /** A file in Combined Log Format; else `hits` hits are generated. */
  readonly input?: string;
  readonly hits: number;
  readonly seed: number;
  readonly output: ProgressOutput;
  /** From engine to engine, instead of kills. */
  readonly isTour?: boolean;
}

export interface DemoResult {
  readonly hits: number;
  readonly linesRefused: number;
  readonly seconds: number;
  readonly nodes: number;
  readonly events: readonly ActEvent[];
  /** What was left out, and why. */
  readonly leftOut: readonly string[];
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
/** A start on a busy machine takes some seconds; an add waits for it instead of failing. */
const requestTimeoutMs = 60_000;
const nodes = 3;
/** Those who join in the tour serve only when the log has moved to where they have a part of it. */
const startTimeoutMs = 120_000;
/** Between two hits while something happens: the count is not to be over before. */
const slowHitMs = 2;

/** The hits, as often as asked for. The generated ones go through the text form, as a file would. */
interface Source {
  feed(): Iterable<Hit> | AsyncIterable<Hit>;
  /** Counts with nothing but a map. */
  tally(): Promise<{ readonly tally: Tally; readonly hits: number; readonly linesRefused: number }>;
}

/** What must not outlive the demo. */
export class DemoResources {
  readonly directory: string = mkdtempSync(path.join(tmpdir(), "quipu-demo-"));
  cell: LocalCell | undefined;
  client: Client | undefined;
  services: Services | undefined;

  /** At once, also from a signal handler. */
  dispose(): void {
    this.cell?.killNow();
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

export async function runDemo(options: DemoOptions, resources: DemoResources): Promise<DemoResult> {
  const source = options.input === undefined ? generatedSource(options) : fileSource(options.input);
  const expected = await source.tally();
  const isTour = options.isTour === true;
  const services = isTour ? await Services.start() : undefined;
  resources.services = services;
  const founders = isTour ? 1 : nodes;
  const cell = await LocalCell.prepare({
    directory: resources.directory,
    nodes,
    founders,
    startTimeoutMs,
    extraArguments: ["--log-level", "error"],
    argumentsOf: (name) => (isTour && name === "n1" ? ["--engine", "local"] : []),
  });
  resources.cell = cell;
  await cell.startFounders(founders);
  const client = await connect(cell.url, { requestTimeoutMs });
  resources.client = client;
  const bar = new Progress({
    label: "counting",
    total: expected.hits,
    output: options.output,
    nowMs: () => performance.now(),
  });
  const probe = new WriteProbe(client);
  const acts = services === undefined ? dramaActs() : tourActs(services);
  const drama = new Acts(cell, acts, expected.hits, bar, probe.gaps);
  const startMs = performance.now();
  const hits = await Promise.race([
    countHits({
      client,
      hits: paced(source.feed(), expected.hits, drama),
      fields: hitFields,
      prefix,
      addsOpenMax: Math.min(addsOpenMax, Math.max(1, Math.floor(expected.hits / 10))),
      onProgress: (count) => {
        bar.update(count);
        drama.reached(count);
      },
    }),
    drama.failure,
  ]);
  await drama.finished();
  await probe.stop();
  const seconds = (performance.now() - startMs) / 1000;
  bar.finish(hits);
  const differences = await compare(client, expected.tally);
  const found = await readTop(client, expected.tally);
  const keys = (await cell.status())?.shards[0]?.keys ?? 0;
  await client.close();
  await cell.stop();
  await services?.stop();
  return {
    hits,
    linesRefused: expected.linesRefused,
    seconds,
    nodes,
    events: drama.events,
    leftOut: services?.missing ?? [],
    counters: expected.tally.counts.size,
    surplusKeys: keys - expected.tally.counts.size,
    differences,
    topPaths: found,
  };
}

/** Hits come slowly while something happens, and the last tenth only when everything has. */
async function* paced(feed: Iterable<Hit> | AsyncIterable<Hit>, hits: number, drama: Acts): AsyncGenerator<Hit> {
  let fed = 0;
  for await (const hit of feed) {
    fed += 1;
    if (drama.isBehind) await delay(slowHitMs);
    for (; fed > hits * 0.9 && drama.isUnfinished; await delay(slowHitMs)) drama.reached(fed);
    yield hit;
  }
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
