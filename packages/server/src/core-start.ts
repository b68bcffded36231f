/** A core on its way to serving: a door that refuses meanwhile and says what is waited for, and a promise for who opened the node. */
import { type ReplicaDoor, ShardDoor } from "@quipu/cluster";
import { lsn, QuipuError } from "@quipu/core";
import { CounterMachine } from "@quipu/counters";

export class CoreStart {
  readonly door: ShardDoor;
  readonly serving: Promise<void>;
  /** For people; undefined: for nothing. */
  waitingFor: string | undefined;
  #served: () => void = () => undefined;
  #failed: (error: unknown) => void = () => undefined;

  constructor(waitingFor: string) {
    this.waitingFor = waitingFor;
    const empty = new CounterMachine({});
    this.door = new ShardDoor(
      () => empty,
      () => lsn(0),
      () => this.refusal(),
    );
    this.serving = new Promise((resolve, reject) => {
      this.#served = resolve;
      this.#failed = reject;
    });
    // Whoever opens the node awaits it; a start that fails before is told by itself.
    this.serving.catch(() => undefined);
  }

  refusal(): QuipuError {
    return new QuipuError("OVERLOADED", `this node is not ready: it waits for ${this.waitingFor ?? "its state"}`);
  }

  /** From here on `door` is what is asked. */
  serve(door: ReplicaDoor | undefined): void {
    this.door.target = door;
    this.waitingFor = undefined;
    this.#served();
  }

  /** After it served, a failure is the node's own affair, which it reports as fatal. */
  fail(error: unknown): void {
    this.#failed(error);
  }
}
