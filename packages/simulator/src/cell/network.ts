/**
 * The network of a cell. Frames are lost, late, repeated, overtaken, damaged, and come once more seconds after; links
 * are cut one way or both, slow, and hold only so many bytes. A frame is addressed to a member: who listens under that
 * name when it arrives gets it, whatever has happened to the process meanwhile.
 */
import type { Network, Random } from "@quipu/core";
import type { ProcessLife, Scheduler } from "../scheduler.ts";
import type { DirectedLink } from "./partitions.ts";
import type { NetworkRates } from "./swarm.ts";

export interface SimulatedNetworkOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly rates: NetworkRates;
  /** False while faults are healed: then frames only take their time. */
  readonly faulty: () => boolean;
  /** A fault struck what `node` sent. */
  readonly met: (fault: string, node: number) => void;
  /** Every frame as it is sent, before any fault. */
  readonly onSend: (node: number, from: number, to: number, frame: Uint8Array) => void;
  /** Every frame as it arrives at a process that listens. */
  readonly onArrival: (node: number, from: number, frame: Uint8Array) => void;
}

interface Listener {
  readonly node: number;
  readonly life: ProcessLife;
  readonly onFrame: (from: number, frame: Uint8Array) => void;
}

/** One direction between two nodes. */
interface Link {
  isCut: boolean;
  slowUs: number;
  bytesUnderWay: number;
  /** When the last frame in order arrives. */
  lastDueUs: number;
}

interface KeptFrame {
  readonly from: number;
  readonly to: number;
  readonly bytes: Uint8Array;
}

const perTenThousand = 10_000;
/** Old frames kept for coming once more. */
const keptFramesMax = 64;
/** How much later: across elections, restarts and pauses. */
const replayUsMax = 8_000_000;
/** How far a frame that is overtaken falls back. */
const reorderUsMax = 30_000;

export class SimulatedNetwork {
  readonly #options: SimulatedNetworkOptions;
  readonly #listeners = new Map<number, Listener>();
  readonly #links = new Map<string, Link>();
  /** Where members live or lived. */
  readonly #nodes = new Map<number, number>();
  readonly #kept: KeptFrame[] = [];
  #frames = 0;

  constructor(options: SimulatedNetworkOptions) {
    this.#options = options;
  }

  /** Frames sent so far. */
  get frames(): number {
    return this.#frames;
  }

  /** Bytes under way on the fullest link. */
  get linkBytesUnderWayMax(): number {
    return Math.max(0, ...[...this.#links.values()].map((link) => link.bytesUnderWay));
  }

  /** What the process `life` on `node` reaches the others through. `beforeSend` may end that life. */
  port(node: number, life: ProcessLife, beforeSend: () => void): Network {
    let own = 0;
    return {
      listen: (member, onFrame) => {
        own = member;
        this.#nodes.set(member, node);
        this.#listeners.set(member, { node, life, onFrame });
      },
      send: (to, frame) => {
        if (!life.alive) return;
        beforeSend();
        if (life.alive) this.#send(node, own, to, frame);
      },
      peers: () =>
        [...this.#listeners]
          .filter(([member, listener]) => listener.life.alive && member !== own)
          .map(([member]) => member)
          .sort((left, right) => left - right),
    };
  }

  /** Nobody answers under the names of this process any more. */
  disconnect(life: ProcessLife): void {
    for (const [member, listener] of this.#listeners) if (listener.life === life) this.#listeners.delete(member);
  }

  setCut(links: readonly DirectedLink[], isCut: boolean): void {
    for (const [from, to] of links) this.#link(from, to).isCut = isCut;
  }

  setSlow(links: readonly DirectedLink[], slowUs: number): void {
    for (const [from, to] of links) this.#link(from, to).slowUs = slowUs;
  }

  heal(): void {
    for (const link of this.#links.values()) {
      link.isCut = false;
      link.slowUs = 0;
    }
    this.#kept.length = 0;
  }

  #send(node: number, from: number, to: number, frame: Uint8Array): void {
    const { random, rates, faulty, met, onSend } = this.#options;
    this.#frames += 1;
    onSend(node, from, to, frame);
    const target = this.#nodes.get(to);
    if (target === undefined) return;
    const link = this.#link(node, target);
    if (!faulty()) {
      if (!link.isCut) this.#carry(link, from, to, frame, this.#delayUs(link, false));
      return;
    }
    if (link.isCut) {
      met("frame cut off", node);
      return;
    }
    const hit = (chance: number): boolean => chance > 0 && random.below(perTenThousand) < chance;
    if (hit(rates.frameLost)) {
      met("frame lost", node);
      return;
    }
    if (hit(rates.frameReplayed)) this.#keep({ from, to, bytes: frame.slice() }, node);
    if (hit(rates.frameRepeated)) {
      met("frame repeated", node);
      this.#carry(link, from, to, frame.slice(), this.#delayUs(link, true));
    }
    let bytes = frame;
    if (hit(rates.frameDamaged) && frame.length > 0) {
      met("frame damaged", node);
      bytes = frame.slice();
      const at = random.below(bytes.length);
      bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
    }
    const isReordered = hit(rates.frameReordered);
    if (isReordered) met("frame overtaken", node);
    this.#carry(link, from, to, bytes, this.#delayUs(link, isReordered));
  }

  #delayUs(link: Link, isOutOfOrder: boolean): number {
    const { random, rates, scheduler } = this.#options;
    const delayUs = rates.latencyUs + random.below(rates.jitterUs + 1) + link.slowUs;
    if (isOutOfOrder) return delayUs + random.below(reorderUsMax);
    const dueUs = Math.max(scheduler.nowUs + delayUs, link.lastDueUs + 1);
    link.lastDueUs = dueUs;
    return dueUs - scheduler.nowUs;
  }

  #carry(link: Link, from: number, to: number, bytes: Uint8Array, delayUs: number): void {
    const { scheduler, rates } = this.#options;
    // However large, one frame fits: a smaller limit would be no slow link but none.
    if (link.bytesUnderWay > 0 && link.bytesUnderWay + bytes.length > rates.linkBytesMax) return;
    link.bytesUnderWay += bytes.length;
    scheduler.schedule(delayUs, undefined, () => {
      link.bytesUnderWay -= bytes.length;
      this.#arrive(from, to, bytes);
    });
  }

  #arrive(from: number, to: number, bytes: Uint8Array): void {
    const { scheduler, onArrival } = this.#options;
    const listener = this.#listeners.get(to);
    if (listener === undefined || !listener.life.alive) return;
    const take = (): void => {
      onArrival(listener.node, from, bytes);
      listener.onFrame(from, bytes);
    };
    // A paused process finds it in its socket when it goes on.
    if (listener.life.held === undefined) take();
    else scheduler.schedule(0, listener.life, take);
  }

  /** Somebody in between holds a copy back, and lets it go long after. */
  #keep(frame: KeptFrame, node: number): void {
    const { random, scheduler, faulty, met } = this.#options;
    this.#kept.push(frame);
    if (this.#kept.length > keptFramesMax) this.#kept.shift();
    scheduler.schedule(random.below(replayUsMax), undefined, () => {
      if (!faulty()) return;
      const old = this.#kept[random.below(Math.max(1, this.#kept.length))];
      if (old === undefined) return;
      met("very late frame", node);
      this.#arrive(old.from, old.to, old.bytes.slice());
    });
  }

  #link(from: number, to: number): Link {
    const key = `${from}>${to}`;
    let link = this.#links.get(key);
    if (link === undefined) this.#links.set(key, (link = { isCut: false, slowUs: 0, bytesUnderWay: 0, lastDueUs: 0 }));
    return link;
  }
}
