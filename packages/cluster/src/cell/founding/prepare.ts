/** A node's way into a cell, at each start: at once where its disk says which one, else by founding, adopting or joining. */
import { type Clock, type Disk, type KeyValueStore, QuipuError, type Random } from "@quipu/core";
import type { WriteAheadLogLimits } from "@quipu/log";
import type { FoundingMutation } from "../../mutation.ts";
import { discardSingleLog, finishAdoption } from "../adoption.ts";
import { type CellIdentity, IdentityRegister } from "../identity.ts";
import { type CellBootstrap, openMetadata } from "../node-log.ts";
import { requireNoRecovery } from "../recovery-register.ts";
import { kindOfDirectory } from "./directory.ts";
import { checkNames, type FoundingLink, type Proposal } from "./messages.ts";
import { FoundingProtocol, type FoundingResult } from "./protocol.ts";
import { type Founding, FoundingRegister } from "./register.ts";

export interface PrepareCellOptions {
  /** Rooted in the data directory, which this process holds. */
  readonly disk: Disk;
  readonly store: KeyValueStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly link: FoundingLink;
  /** The disk failed: the owner ends the process. */
  readonly onFatal: (error: unknown) => void;
  /** For people: whom the node waits for, and why; called when that changes. */
  readonly onWaiting?: (text: string) => void;
  /** Looked at several times a second; then the promise rejects with SHUTTING_DOWN. */
  readonly signal?: { readonly isStopped: boolean };
  /** Of the single process whose log is adopted. */
  readonly wal?: Partial<WriteAheadLogLimits>;
  /** Tests only. */
  readonly mutation?: FoundingMutation;
}

export interface CellMembership {
  readonly cell: number;
  readonly node: number;
  readonly bootstrap: CellBootstrap;
  /** `member`: its disk said so. */
  readonly origin: "member" | "founded" | "adopted" | "joined";
  /** All that were listed when the cell was founded, in the order of their numbers; undefined on nodes that joined. */
  readonly foundedWith: readonly string[] | undefined;
}

/** Between two rounds of questions: a cell of nodes that are up is founded in two or three of them. */
const askIntervalMs = 250;
/** A node that will be no member goes on answering for so long, so that the others see why. */
const refusalMs = 2_000;
/** Messages that wait while the disk is written; more are dropped, as a network might have done. */
const inboxMax = 256;

/**
 * Resolves when the node may start as a member; until then it writes nothing but registers of its metadata. Rejects with
 * INVALID_CONFIGURATION where it can be none: two nodes have data, the cell's roster lacks its name, the peers are of
 * several cells. The link's handler goes on answering for a new cell; a {@link FoundingResponder}, made at once, replaces it.
 */
export async function prepareCell(options: PrepareCellOptions): Promise<CellMembership> {
  const { disk, store, link } = options;
  checkNames(link);
  const { metadata, damage } = await openMetadata(options);
  try {
    const identity = new IdentityRegister(metadata);
    const present = await identity.load();
    const register = new FoundingRegister(metadata);
    if (present !== undefined) {
      await requireNoRecovery(metadata, present);
      if (present.state === "member") await discardSingleLog(disk);
      return membershipOf(present, "member", await register.load());
    }
    const founding = await register.load();
    if (founding === undefined || founding.phase === "accepted") {
      const kind = await kindOfDirectory(disk, store, metadata, damage);
      const { random, onWaiting = (): void => undefined, mutation } = options;
      const protocol = new FoundingProtocol({ link, random, register, kind, onWaiting, mutation });
      const result = await run(protocol, options, async (reached) => {
        if (reached.type === "founder") await identity.store(founderOf(reached.proposal, link.name));
      });
      if (result.type === "joiner") {
        return {
          cell: result.cell,
          node: result.node,
          bootstrap: { type: "join" },
          origin: "joined",
          foundedWith: undefined,
        };
      }
      if (result.type === "founder") return membershipOf(identity.present, "founded", register.present);
    }
    await finishAdoption({ ...options, metadata, register, identity });
    return membershipOf(identity.present, "adopted", register.present);
  } finally {
    await metadata.close?.();
  }
}

function founderOf({ cell, names }: Proposal, name: string): CellIdentity {
  const founders = names.map((_, place) => place + 1);
  const fresh = { generation: 0, incarnation: 0, state: "new", attempt: 0, startsAfter: 0 } as const;
  return { cell, node: names.indexOf(name) + 1, ...fresh, founders };
}

function membershipOf(
  { cell, node, founders }: CellIdentity,
  origin: CellMembership["origin"],
  founding: Founding | undefined,
): CellMembership {
  const bootstrap: CellBootstrap = founders.length > 0 ? { type: "found", founders } : { type: "join" };
  const { proposal } = founding ?? {};
  return { cell, node, bootstrap, origin, foundedWith: proposal?.cell === cell ? proposal.names : undefined };
}

/** Feeds the protocol one thing after another until it has a result, which `onResult` makes durable. */
function run(
  protocol: FoundingProtocol,
  { clock, link, signal, onWaiting }: PrepareCellOptions,
  onResult: (result: FoundingResult) => Promise<void>,
): Promise<FoundingResult> {
  return new Promise((resolve, reject) => {
    let isOver = false;
    let waiting = 0;
    let queue = Promise.resolve();
    let failure: unknown;
    const settle = (action: () => void): void => {
      isOver = true;
      action();
    };
    const failed = (error: unknown): void => {
      // Tried again with the next round.
      if (error instanceof QuipuError && error.code === "DISK_FULL") onWaiting?.(error.message);
      else if (failure === undefined) {
        failure = error;
        const isRefusal = error instanceof QuipuError && error.code === "INVALID_CONFIGURATION";
        clock.setTimer(isRefusal ? refusalMs : 0, () => settle(() => reject(error as Error)));
      }
    };
    const enqueue = (action: () => Promise<void>): void => {
      if (waiting >= inboxMax) return;
      waiting += 1;
      queue = queue
        .then(async () => {
          // Nobody is told of a result that a full disk has not taken yet.
          if (protocol.result === undefined || isOver) await action();
          const { result } = protocol;
          if (result === undefined || isOver) return;
          await onResult(result);
          settle(() => resolve(result));
        })
        .catch(failed)
        .finally(() => void (waiting -= 1));
    };
    const tick = (): void => {
      if (isOver) return;
      if (signal?.isStopped === true) {
        return settle(() => reject(new QuipuError("SHUTTING_DOWN", "the server is stopping")));
      }
      if (failure === undefined) enqueue(() => protocol.tick());
      clock.setTimer(askIntervalMs, tick);
    };
    // Also when it is over: what was founded has to be told to those who wait for it.
    link.onMessage((from, message) => enqueue(() => protocol.receive(from, message)));
    tick();
  });
}
