/**
 * State snapshots of a single process whose log a service keeps at present: published there, so that whoever has the service
 * has all that was acknowledged, and the log there is trimmed only below them. On the local engine there are none.
 */
import { type Checkpointer, makeSnapshot, type Replica, SnapshotPublisher, SnapshotRepository } from "@quipu/cluster";
import { type Clock, lsn, QuipuError, type Random } from "@quipu/core";
import { encodeLogWords, type LogletName, type MetadataStore, type VirtualLog } from "@quipu/log";
import { isServiceEngine } from "./engines/engine-names.ts";
import type { ServiceEngines } from "./engines/service-engines.ts";
import type { Log } from "./log.ts";

export interface SingleSnapshotsOptions {
  readonly log: VirtualLog;
  readonly services: ServiceEngines;
  readonly replica: Replica;
  readonly checkpointer: Checkpointer;
  readonly metadata: MetadataStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly output: Log;
  readonly onFatal: (error: unknown) => void;
}

interface Publishing {
  readonly name: LogletName;
  readonly repository: SnapshotRepository;
  readonly publisher: SnapshotPublisher;
}

/** In the metadata file: under which name the snapshots of this directory lie, as several may use one service. */
const idKey = "snapshots";
/** How soon a switch is noticed. */
const lookMs = 1_000;
/** Held in memory while it is written. */
const snapshotBytesMax: number = 1024 * 1024 * 1024;

export class SingleSnapshots {
  readonly #options: SingleSnapshotsOptions;
  #publishing: Publishing | undefined;
  /** Of segments that the log has left. */
  readonly #old: Publishing[] = [];
  #isClosed = false;
  #cancelTimer: (() => void) | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: SingleSnapshotsOptions) {
    this.#options = options;
    this.#running = this.#look().then(() => this.#later());
  }

  /** The log may be trimmed up to here, whatever the own disk has. */
  get trimLimit(): number {
    const last = this.#last;
    if (last === undefined || !isServiceEngine(last.engine)) return Number.POSITIVE_INFINITY;
    return isSame(last, this.#publishing?.name) ? (this.#publishing?.publisher.publishedUpTo ?? 0) : 0;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelTimer?.();
    await this.#running;
    await this.#publishing?.publisher.close();
  }

  get #last(): LogletName | undefined {
    return this.#options.log.chain().segments.at(-1);
  }

  #later(): void {
    if (this.#isClosed) return;
    this.#cancelTimer = this.#options.clock.setTimer(lookMs, () => {
      this.#running = this.#look().then(() => this.#later());
    });
  }

  async #look(): Promise<void> {
    try {
      await this.#follow();
      await this.#clearOld();
    } catch (error) {
      // A service that is away: the next look may find it otherwise.
      if (!(error instanceof QuipuError)) this.#options.onFatal(error);
    }
  }

  async #follow(): Promise<void> {
    const last = this.#last;
    const present = this.#publishing;
    if (last === undefined || isSame(last, present?.name)) return;
    this.#publishing = undefined;
    if (present !== undefined) {
      this.#old.push(present);
      await present.publisher.close();
    }
    if (isServiceEngine(last.engine) && !this.#isClosed) this.#publishing = await this.#begin(last);
  }

  /** Their log has gone, so nobody needs them. */
  async #clearOld(): Promise<void> {
    const { segments } = this.#options.log.chain();
    for (const old of [...this.#old]) {
      if (segments.some((segment) => isSame(segment, old.name))) continue;
      // Another segment of the same service has the same names.
      if (this.#publishing?.name.engine !== old.name.engine) await old.repository.clear();
      this.#old.splice(this.#old.indexOf(old), 1);
    }
  }

  async #begin(name: LogletName): Promise<Publishing | undefined> {
    const { services, checkpointer, replica, clock, random, output, onFatal, log } = this.#options;
    const service = await services.serviceOf(name);
    if (service === undefined) return undefined;
    const prefix = `single/${await this.#id()}/`;
    const { blobs, valueBytesMax } = service;
    const repository = new SnapshotRepository({ blobs, valueBytesMax, prefix, clock, random });
    const publisher = new SnapshotPublisher({
      repository,
      clock,
      random,
      applied: () => ({
        position: replica.machine.appliedLsn,
        recordBytes: replica.statistics.recordBytesApplied,
      }),
      make: () =>
        makeSnapshot({
          checkpointer,
          settings: { snapshotBytesMax },
          onPosition: () => replica.statistics.recordBytesApplied,
          logStart: (position) => encodeLogWords({ ...segmentAt(log, position), words: new Uint8Array() }),
        }).catch((error: unknown) => {
          // Too large, or a full disk, which the checkpointer meets as well.
          if (!(error instanceof QuipuError)) onFatal(error);
          return undefined;
        }),
      // The next checkpoint trims.
      onPublished: () => Promise.resolve(),
      onFailure: (error) => {
        if (error.code === "NOQUORUM" || error.code === "LOG_APPEND_UNKNOWN") return;
        output.warn({ error: error.message }, "no snapshot could be published; until then the log is not trimmed");
      },
      onFatal,
    });
    return { name, repository, publisher };
  }

  async #id(): Promise<string> {
    const { metadata, random } = this.#options;
    const stored = await metadata.get(idKey);
    if (stored !== undefined) return new TextDecoder().decode(stored.value);
    const draw = (): string => random.uint32().toString(16).padStart(8, "0");
    const id = draw() + draw();
    await metadata.compareAndSet(idKey, 0, new TextEncoder().encode(id));
    return id;
  }
}

function segmentAt(log: VirtualLog, position: number): LogletName {
  const { segments } = log.chain();
  const found = segments.findLast(({ base }) => base - 1 <= position) ?? segments[0];
  if (found === undefined) throw new QuipuError("LOG_CORRUPT", `no segment holds position ${lsn(position)}`);
  return { engine: found.engine, parameters: found.parameters };
}

function isSame(left: LogletName, right: LogletName | undefined): boolean {
  return left.engine === right?.engine && left.parameters === right.parameters;
}
