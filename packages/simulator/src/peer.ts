/**
 * Another node that writes to the same log: so that linearizable reads have something to wait for, and records of
 * several writers stand between each other. It repeats a record until it knows that it is in the log.
 */
import type { Random } from "@quipu/core";
import { RecordBuilder } from "@quipu/counters";
import type { VirtualLog } from "@quipu/log";
import type { Ledger } from "./ledger.ts";
import { addText, bytesOf } from "./text.ts";
import type { Workload } from "./workload.ts";

/** Node numbers: the simulated process is 1. */
const peerNode = 2;

interface PeerRecord {
  readonly bytes: Uint8Array;
  /** Tally keys that it raises by one. */
  readonly keys: readonly string[];
}

export class Peer {
  readonly #random: Random;
  readonly #workload: Workload;
  readonly #ledger: Ledger;
  #incarnation = 1;
  #number = 1;
  #unresolved: PeerRecord | undefined;
  #appending = false;

  constructor(random: Random, workload: Workload, ledger: Ledger) {
    this.#random = random;
    this.#workload = workload;
    this.#ledger = ledger;
  }

  get isIdle(): boolean {
    return this.#unresolved === undefined;
  }

  disconnected(): void {
    this.#appending = false;
  }

  /** Appends one record, or the last one again. `guard` reports what its own checks throw. */
  go(log: VirtualLog, stampMs: number, onlyRepeat: boolean, guard: (action: () => void) => void): void {
    if (this.#appending || (onlyRepeat && this.#unresolved === undefined)) return;
    const record = (this.#unresolved ??= this.#build(stampMs));
    this.#appending = true;
    log.append([record.bytes]).then(
      ({ first }) => {
        this.#appending = false;
        if (this.#unresolved !== record) return;
        this.#unresolved = undefined;
        guard(() => {
          for (const key of record.keys) this.#ledger.acknowledged(addText(0, key, 1), `0/${key}`, undefined, first);
        });
      },
      () => {
        this.#appending = false;
      },
    );
  }

  #build(stampMs: number): PeerRecord {
    if (this.#number > 1 && this.#random.chance(5, 100)) {
      this.#incarnation += 1;
      this.#number = 1;
    }
    const builder = new RecordBuilder();
    const keys = Array.from({ length: 1 + this.#random.below(6) }, () => this.#workload.tallyKey());
    for (const key of keys) {
      const bytes = bytesOf(key);
      builder.add(0, bytes, 0, bytes.length, 1);
      this.#ledger.submitted(addText(0, key, 1), `0/${key}`, undefined);
    }
    const id = { node: peerNode, incarnation: this.#incarnation, number: this.#number++ };
    return { bytes: builder.finish(id, stampMs), keys };
  }
}
