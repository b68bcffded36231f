/** The computer that the simulated process runs on: its disk and store, which survive the process, bits that flip. */
import type { Random } from "@quipu/core";
import { SimulatedDisk } from "./disk.ts";
import type { Faults } from "./faults.ts";
import { SimulatedKeyValueStore } from "./key-value-store.ts";
import { dataDirectory } from "./node-log.ts";
import type { SwarmConfiguration } from "./swarm.ts";

export interface HostOptions {
  readonly random: Random;
  readonly diskRandom: Random;
  readonly storeRandom: Random;
  readonly swarm: SwarmConfiguration;
  readonly faults: Faults;
  readonly complete: (action: () => void) => void;
  readonly met: (fault: string) => void;
  readonly note: (text: string) => void;
}

const entriesPerPage = 20;

export class Host {
  readonly #options: HostOptions;
  #disk: SimulatedDisk;
  #store: SimulatedKeyValueStore;
  /** The disk as it was before a bit of it flipped, while it is open whether the flip is noticed. */
  #beforeFlip: SimulatedDisk | undefined;
  #flipAccepted = false;

  constructor(options: HostOptions) {
    this.#options = options;
    const { complete, faults, diskRandom, storeRandom } = options;
    this.#disk = new SimulatedDisk({ random: diskRandom, complete });
    this.#store = new SimulatedKeyValueStore({
      random: storeRandom,
      complete,
      pageEntries: entriesPerPage,
      fault: (operation) => faults.onStore(operation),
    });
  }

  get disk(): SimulatedDisk {
    return this.#disk;
  }

  get store(): SimulatedKeyValueStore {
    return this.#store;
  }

  /** A start is under way that may refuse a flipped bit. */
  get flipIsOpen(): boolean {
    return this.#beforeFlip !== undefined;
  }

  /** A flip that a start did not mind is still there: a later one may. */
  get flipWasAccepted(): boolean {
    return this.#flipAccepted;
  }

  powerOn(): void {
    const { note, faults } = this.#options;
    this.#disk.fault = (operation) => {
      note(`disk ${operation.type} ${operation.path} ${operation.position}+${operation.length}`);
      return faults.onDisk(operation);
    };
  }

  /** What was not synced is lost as the disk sees fit. */
  powerOff(): void {
    const { crashKeeps } = this.#options.swarm;
    this.#disk = this.#disk.crash(crashKeeps);
    this.#store = this.#store.crash(crashKeeps);
  }

  maybeFlip(): void {
    const { random, swarm, met, note } = this.#options;
    if (!random.chance(swarm.bitFlipPercent, 100)) return;
    const isUsed = (path: string): boolean => path.startsWith(`${dataDirectory}/`) && this.#disk.bytes(path).length > 0;
    const paths = this.#disk.paths().filter(isUsed);
    const path = paths[random.below(Math.max(paths.length, 1))];
    if (path === undefined) return;
    this.#beforeFlip = this.#disk.clone();
    const bytes = this.#disk.bytes(path);
    // Mostly where something is written.
    const used = bytes.findLastIndex((byte) => byte !== 0) + 1;
    const limit = used > 0 && random.chance(4, 5) ? used : bytes.length;
    const bit = random.below(limit) * 8 + random.below(8);
    this.#disk.flipBit(path, bit);
    met("bit flip");
    note(`flipped bit ${bit} of ${path}`);
  }

  /** Start went well: the bit carries nothing, or the checks will tell. */
  acceptFlip(): void {
    if (this.#beforeFlip === undefined) return;
    this.#options.met("bit flip in a dead place");
    this.#beforeFlip = undefined;
    this.#flipAccepted = true;
  }

  /** Start was refused: the operator puts the undamaged disk back. */
  undoFlip(): void {
    this.#options.met("bit flip refused");
    this.#disk = this.#beforeFlip ?? this.#disk;
    this.#store = this.#store.crash("all");
    this.#beforeFlip = undefined;
  }
}
