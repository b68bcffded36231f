/** Faults of one host's disk and store: those of a single node, and writes that land elsewhere. */
import type { DiskFault, DiskOperation } from "../disk.ts";
import { Faults, type FaultOptions } from "../faults.ts";

export interface CellFaultOptions extends FaultOptions {
  readonly misdirectedWrites: number;
  /** This disk may be damaged now without a majority losing what it acknowledged; told once it is. */
  readonly mayDamage: () => boolean;
  readonly damaged: () => void;
}

/** Frames of the write-ahead log begin on this; a misdirected one lands on such a place before its own. */
const landingBytes = 4096;
const perTenThousand = 10_000;

export class CellFaults extends Faults {
  readonly #options: CellFaultOptions;

  constructor(options: CellFaultOptions) {
    super(options);
    this.#options = options;
  }

  override onDisk(operation: DiskOperation): DiskFault | undefined {
    const fault = super.onDisk(operation);
    const { random, misdirectedWrites, faulty, mayDamage, damaged, met } = this.#options;
    const { type, position, path } = operation;
    if (fault !== undefined || type !== "write" || misdirectedWrites === 0 || !faulty()) return fault;
    if (random.below(perTenThousand) >= misdirectedWrites) return undefined;
    // Onto something that was written: what lands on nothing and leaves nothing behind no single disk can notice.
    if (path.includes("unfinished") || position < 2 * landingBytes || !mayDamage()) return undefined;
    const place = Math.floor(position / landingBytes) - 1;
    met("misdirected write");
    damaged();
    return { type: "misdirectedWrite", position: landingBytes * (1 + random.below(place)) };
  }
}
