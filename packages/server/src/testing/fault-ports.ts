/** Ports of a node with faults that a test turns on and off: disks that are full or fail, clocks that are wrong. */
import { type Clock, type Disk, DiskError, type DiskFile } from "@quipu/core";
import { NodeClock } from "../ports/node-clock.ts";
import { NodeDisk } from "../ports/node-disk.ts";
import type { NodePorts } from "../ports/node-ports.ts";

/**
 * `full`: whatever needs room answers ENOSPC; what lies within a file has its room already. `failing`: the next sync answers EIO, which has to end the process; the one
 * that takes its place has a good disk.
 */
export type DiskState = "good" | "full" | "failing";

export class FaultPorts implements NodePorts {
  readonly clock: FaultClock = new FaultClock(new NodeClock());
  disk: DiskState = "good";

  openDisk(directory: string): Disk {
    return new FaultDisk(new NodeDisk(directory), this);
  }
}

/** A clock that another offset and another rate can be given to while it runs. Monotonic time stays monotonic. */
export class FaultClock implements Clock {
  readonly #inner: Clock;
  #offsetMs = 0;
  #rate = 1;
  /** Inner and own monotonic time when the rate was last changed. */
  #innerSinceMs: number;
  #ownSinceMs: number;

  constructor(inner: Clock) {
    this.#inner = inner;
    this.#innerSinceMs = inner.monotonicMs();
    this.#ownSinceMs = this.#innerSinceMs;
  }

  /** `rate`: milliseconds of this clock in one of the real one. */
  shift(offsetMs: number, rate: number): void {
    this.#ownSinceMs = this.monotonicMs();
    this.#innerSinceMs = this.#inner.monotonicMs();
    this.#offsetMs = offsetMs;
    this.#rate = rate;
  }

  monotonicMs(): number {
    return this.#ownSinceMs + (this.#inner.monotonicMs() - this.#innerSinceMs) * this.#rate;
  }

  wallMs(): number {
    return this.#inner.wallMs() + this.#offsetMs;
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    return this.#inner.setTimer(delayMs / this.#rate, callback);
  }

  endOfTurn(callback: () => void): void {
    this.#inner.endOfTurn(callback);
  }
}

class FaultDisk implements Disk {
  readonly #inner: Disk;
  readonly #ports: FaultPorts;

  constructor(inner: Disk, ports: FaultPorts) {
    this.#inner = inner;
    this.#ports = ports;
  }

  async open(path: string, options: { readonly create: "no" | "new" }): Promise<DiskFile> {
    if (options.create === "new") requireRoom(this.#ports, path, "create");
    return new FaultFile(await this.#inner.open(path, options), path, this.#ports);
  }

  list(directory: string): Promise<readonly string[]> {
    return this.#inner.list(directory);
  }

  exists(path: string): Promise<boolean> {
    return this.#inner.exists(path);
  }

  async makeDirectory(path: string): Promise<void> {
    requireRoom(this.#ports, path, "create");
    return this.#inner.makeDirectory(path);
  }

  rename(from: string, to: string): Promise<void> {
    return this.#inner.rename(from, to);
  }

  remove(path: string): Promise<void> {
    return this.#inner.remove(path);
  }

  syncDirectory(directory: string): Promise<void> {
    return this.#inner.syncDirectory(directory);
  }
}

class FaultFile implements DiskFile {
  readonly #inner: DiskFile;
  readonly #path: string;
  readonly #ports: FaultPorts;

  constructor(inner: DiskFile, path: string, ports: FaultPorts) {
    this.#inner = inner;
    this.#path = path;
    this.#ports = ports;
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return this.#inner.read(into, position);
  }

  async write(bytes: Uint8Array, position: number): Promise<number> {
    await this.#requireRoom(bytes, position);
    return this.#inner.write(bytes, position);
  }

  async sync(): Promise<void> {
    this.#requireHealth();
    return this.#inner.sync();
  }

  async writeAndSync(bytes: Uint8Array, position: number): Promise<number> {
    await this.#requireRoom(bytes, position);
    if (this.#ports.disk === "failing") {
      // As a real disk: the bytes are in the page cache, and nobody knows what of them is on the disk.
      await this.#inner.write(bytes, position);
      this.#requireHealth();
    }
    return this.#inner.writeAndSync(bytes, position);
  }

  size(): Promise<number> {
    return this.#inner.size();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #requireRoom(bytes: Uint8Array, position: number): Promise<void> {
    if (this.#ports.disk !== "full" || position + bytes.length <= (await this.#inner.size())) return;
    requireRoom(this.#ports, this.#path, "write");
  }

  #requireHealth(): void {
    if (this.#ports.disk === "failing") throw new DiskError("EIO", this.#path, "sync");
  }
}

function requireRoom(ports: FaultPorts, path: string, doing: string): void {
  if (ports.disk === "full") throw new DiskError("ENOSPC", path, doing);
}
