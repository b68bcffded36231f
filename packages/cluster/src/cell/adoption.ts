/**
 * Adoption: the data directory of a single process becomes that of a cell's first node, its only founder. Nothing is
 * copied to another directory: the state store is brought up to the end of the old log, and the cell's log begins there.
 *
 *   committed ─ replay the old log, checkpoint at its last position p, say how the cell's log goes on above it
 *   stored    ─ the store holds everything, durably: put the old log out of the way, write the cell's identity
 *
 * Each step can be begun again after a crash in it. Until `stored` the old log stays as it is, untrimmed.
 */
import { memberOf } from "@quipu/consensus";
import {
  type Clock,
  type Disk,
  invariant,
  type KeyValueStore,
  lsn,
  type Lsn,
  QuipuError,
  type Random,
} from "@quipu/core";
import { CounterMachine } from "@quipu/counters";
import {
  decodeChain,
  localEngine,
  type MetadataStore,
  openVirtualLog,
  type VirtualLog,
  WriteAheadLog,
  type WriteAheadLogLimits,
} from "@quipu/log";
import { loadMachine } from "../state-store.ts";
import { singleChainKey, singleNodeKey } from "./founding/directory.ts";
import type { FoundingLink } from "./founding/messages.ts";
import type { FoundingRegister } from "./founding/register.ts";
import type { IdentityRegister } from "./identity.ts";
import { cellMetadataDirectory } from "./node-log.ts";
import { cellWalDirectory, isUsed } from "./node-wal.ts";
import { storeState } from "./stored-state.ts";

export interface AdoptionOptions {
  readonly disk: Disk;
  readonly store: KeyValueStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly link: Pick<FoundingLink, "name">;
  readonly metadata: MetadataStore;
  /** `committed` or `stored`. */
  readonly register: FoundingRegister;
  readonly identity: IdentityRegister;
  readonly wal?: Partial<WriteAheadLogLimits>;
  readonly onFatal: (error: unknown) => void;
}

/** Where the log of the single process lies until the first start that finds a member here. */
const singleLogDirectory = "wal.single";

/** The directory is the first node's when this resolves. */
export async function finishAdoption(options: AdoptionOptions): Promise<void> {
  const { disk, register, identity, link, metadata } = options;
  const founding = register.present;
  invariant(founding !== undefined && founding.phase !== "accepted", "an adoption that was not committed");
  const { proposal } = founding;
  if (proposal.coordinator !== link.name) {
    const text = `the data directory becomes node ${proposal.coordinator} of cell ${proposal.cell}, not ${link.name}`;
    throw new QuipuError("INVALID_CONFIGURATION", `${text}. Start it under its name.`);
  }
  const node = proposal.names.indexOf(link.name) + 1;
  let { startsAfter } = founding;
  if (founding.phase === "committed") {
    startsAfter = await storeEverything(options, node);
    await register.store({ proposal, phase: "stored", startsAfter });
  }
  if ((await disk.exists(cellWalDirectory)) && !(await disk.exists(singleLogDirectory))) {
    await disk.rename(cellWalDirectory, singleLogDirectory);
    await disk.syncDirectory(".");
  }
  const incarnation = await lastIncarnation(metadata);
  const fresh = { generation: 0, state: "new", attempt: 0 } as const;
  await identity.store({ cell: proposal.cell, node, ...fresh, incarnation, founders: [node], startsAfter });
}

/** Gives the room of the old log back. The disk port removes files only; the directory stays, empty. */
export async function discardSingleLog(disk: Disk): Promise<void> {
  if (!(await isUsed(disk, singleLogDirectory))) return;
  for (const name of await disk.list(singleLogDirectory)) await disk.remove(`${singleLogDirectory}/${name}`);
  await disk.syncDirectory(singleLogDirectory);
}

/** Returns the last position of the old log, at which the store then stands, durably. */
async function storeEverything(options: AdoptionOptions, node: number): Promise<Lsn> {
  const { disk, store, clock, random, metadata, onFatal } = options;
  if ((await metadata.get(singleChainKey)) === undefined || !(await isUsed(disk, cellWalDirectory))) throw incomplete();
  await requireLocalLog(metadata);
  const machine = new CounterMachine({ seed: random.uint32() });
  await loadMachine(store, machine);
  const storedUpTo = machine.appliedLsn;
  const wal = await WriteAheadLog.open({
    disk,
    directory: cellWalDirectory,
    clock,
    random,
    onFatal,
    ...(options.wal === undefined ? {} : { limits: options.wal }),
  });
  try {
    const engine = localEngine(wal);
    const open = (parameters: string): ReturnType<typeof engine.open> =>
      wal.hardState(Number(parameters)) === undefined ? Promise.reject(incomplete()) : engine.open(parameters);
    const engines = { local: { ...engine, open } };
    const log = await openVirtualLog({ metadata, key: singleChainKey, engines, initialEngine: "local" });
    const last = await replay(log, machine);
    await log.close();
    await storeState({ store, clock, onFatal, machine, storedUpTo, founder: memberOf(node, 0) });
    return last;
  } finally {
    await wal.close();
  }
}

/** What a service keeps of the log only the single process itself brings home. */
async function requireLocalLog(metadata: MetadataStore): Promise<void> {
  const stored = await metadata.get(singleChainKey);
  if (stored === undefined) return;
  const { segments } = decodeChain(singleChainKey, stored.version, stored.value);
  const elsewhere = segments.find(({ engine }) => engine !== "local");
  if (elsewhere === undefined) return;
  const how = "start it as before, say quipu engine switch local, and stop it when quipu engine list shows one segment";
  throw new QuipuError("INVALID_CONFIGURATION", `a part of the log is on ${elsewhere.engine}: ${how}`);
}

/** Applies what stands above the machine's state; returns the last position of the log. */
async function replay(log: VirtualLog, machine: CounterMachine): Promise<Lsn> {
  const { tail } = await log.tail();
  if (tail <= machine.appliedLsn) throw incomplete();
  const last = lsn(tail - 1);
  if (machine.appliedLsn === last) return last;
  await new Promise<void>((resolve, reject) => {
    const subscription = log.read(lsn(machine.appliedLsn + 1), (delivery) => {
      try {
        if (delivery.type === "gap") throw incomplete();
        delivery.records.forEach((record, place) => void machine.apply(lsn(delivery.first + place), record));
        if (machine.appliedLsn < last) return;
        subscription.close();
        resolve();
      } catch (error) {
        subscription.close();
        reject(error as Error);
      }
    });
  });
  return last;
}

/** Of the single process, whose writers' records the cell's must go above; 0 where it never got so far. */
async function lastIncarnation(metadata: MetadataStore): Promise<number> {
  const stored = await metadata.get(singleNodeKey);
  if (stored === undefined) return 0;
  try {
    const { incarnation } = JSON.parse(new TextDecoder().decode(stored.value)) as { readonly incarnation?: unknown };
    if (Number.isSafeInteger(incarnation)) return incarnation as number;
  } catch (cause) {
    throw new QuipuError("STORE_CORRUPT", "the identity of the single process does not decode", { cause });
  }
  throw new QuipuError("STORE_CORRUPT", "the identity of the single process has no incarnation");
}

function incomplete(): QuipuError {
  const what = `${cellWalDirectory}/ does not hold the log that ${cellMetadataDirectory}/ and the state store go with`;
  return new QuipuError("LOG_CORRUPT", `${what}: was it removed or replaced? Restore the data directory as a whole.`);
}
