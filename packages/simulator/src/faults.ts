/** Faults of disk and store, drawn before each operation, as the swarm configuration has them. */
import { DiskError, type Random } from "@quipu/core";
import { sectorBytes } from "./disk-content.ts";
import type { DiskFault, DiskOperation } from "./disk.ts";
import type { SwarmConfiguration } from "./swarm.ts";

/** The rates that faults of disk and store are drawn with. */
export type FaultRates = Pick<
  SwarmConfiguration,
  | "ioLatencyUsMax"
  | "shortWrites"
  | "writeErrors"
  | "diskFull"
  | "syncErrors"
  | "slowIo"
  | "crashAtEffect"
  | "storeErrors"
>;

export interface FaultOptions {
  readonly random: Random;
  readonly swarm: FaultRates;
  /** False while faults are healed, or must not strike. */
  readonly faulty: () => boolean;
  readonly met: (fault: string) => void;
  /** The power goes: at once, or when the present event is over and the effect has reached the cache. */
  readonly crash: (when: "before" | "after") => void;
}

/** A slow disk: what an overloaded or dying one does. */
const stallUsMax = 2_000_000;
const perTenThousand = 10_000;
/** Part of the name of the one file that grows: all others have their room already and cannot meet ENOSPC. */
const growingFile = "unfinished";

export class Faults {
  readonly #options: FaultOptions;
  /** True once an operation failed in this life: from there on a fatal end is expected. */
  failed = false;
  /** True once there was no room in this life: a first start may be refused for it. */
  full = false;

  constructor(options: FaultOptions) {
    this.#options = options;
  }

  /** The rule for {@link SimulatedDisk}. */
  onDisk(operation: DiskOperation): DiskFault | undefined {
    const { random, swarm, faulty, met } = this.#options;
    if (!faulty()) return undefined;
    this.#maybeCrash(operation.type);
    const draw = random.below(perTenThousand);
    if (operation.type === "write") return this.#onWrite(draw, operation);
    if (operation.type === "sync" && draw < swarm.syncErrors) {
      met("EIO on sync");
      this.failed = true;
      return { type: "error", code: "EIO" };
    }
    return undefined;
  }

  onStore(operation: string): Error | undefined {
    const { random, swarm, faulty, met } = this.#options;
    if (!faulty()) return undefined;
    this.#maybeCrash(`store ${operation}`);
    if (operation !== "write" || swarm.storeErrors === 0 || random.below(perTenThousand) >= swarm.storeErrors) {
      return undefined;
    }
    met("EIO on store write");
    this.failed = true;
    return new DiskError("EIO", "the state store", "write");
  }

  latencyUs(): number {
    const { random, swarm, faulty, met } = this.#options;
    const latencyUs = random.below(swarm.ioLatencyUsMax);
    if (!faulty() || random.below(perTenThousand) >= swarm.slowIo) return latencyUs;
    met("slow I/O");
    return latencyUs + random.below(stallUsMax);
  }

  #onWrite(draw: number, { path, length }: DiskOperation): DiskFault | undefined {
    const { random, swarm, met } = this.#options;
    const allocates = path.includes(growingFile);
    if (draw < swarm.writeErrors) {
      met("EIO on write");
      this.failed = true;
      return { type: "error", code: "EIO" };
    }
    if (allocates && draw < swarm.writeErrors + swarm.diskFull) {
      met("ENOSPC on write");
      this.full = true;
      return { type: "error", code: "ENOSPC" };
    }
    if (draw < swarm.writeErrors + swarm.diskFull + swarm.shortWrites && length > unitOf(length)) {
      met("short write");
      const unit = unitOf(length);
      return { type: "shortWrite", bytes: unit * (1 + random.below(length / unit - 1)) };
    }
    return undefined;
  }

  #maybeCrash(at: string): void {
    const { random, swarm, met, crash } = this.#options;
    if (random.below(perTenThousand) >= swarm.crashAtEffect) return;
    met(`crash at ${at}`);
    crash(random.chance(1, 2) ? "before" : "after");
  }
}

/**
 * A kernel copies into its cache page by page, so a short write ends on a page, and for writes of whole sectors on a
 * sector. Shorter ones would tear a sector, which nobody could tell from damage (DESIGN §4.3).
 */
function unitOf(length: number): number {
  return length % sectorBytes === 0 ? sectorBytes : 1;
}
