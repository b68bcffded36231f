/** The ports of a node in production. Tests of faults put others in their place. */
import type { Clock, Disk } from "@quipu/core";
import { NodeClock } from "./node-clock.ts";
import { NodeDisk } from "./node-disk.ts";

export interface NodePorts {
  readonly clock: Clock;
  /** Rooted in the directory. */
  openDisk(directory: string): Disk;
}

/** `onSync` hears how long each fdatasync took. */
export function nodePorts(onSync: (durationMs: number) => void): NodePorts {
  return { clock: new NodeClock(), openDisk: (directory) => new NodeDisk(directory, { onSync }) };
}
