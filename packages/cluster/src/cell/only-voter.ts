/**
 * Whether this member alone decides for its cell, in a register of its metadata file, which outlives a damaged log: what
 * only this node had, nobody can give back, so then nothing of it may be put out of the way.
 *
 * The rule: it is so while either half of the group's configuration is this member alone, as soon as that is in the log,
 * committed or not. On the way to more voters the joint configuration is left only when a majority of the new ones has
 * it, and with it everything before (Raft §6): from there on others have what was acknowledged. On the way to fewer it
 * is said when the change begins, a commit before others are no longer needed. The register is written beside the log: a
 * crash in between finds it old, which refuses too much on the way up. On the way down the log that is then put aside is
 * kept, and no recovery goes on without it (recovery.ts).
 */
import { type Configuration, type MemberId, memberOf } from "@quipu/consensus";
import { QuipuError } from "@quipu/core";
import type { MetadataStore } from "@quipu/log";
import { type CellIdentity, IdentityRegister } from "./identity.ts";
import { keepsAlone } from "./kept-alone.ts";

interface StoredVoter {
  /** Of another member, were it one of this node's disk, it says nothing. */
  readonly member: MemberId;
  readonly isOnly: boolean;
}

const onlyVoterKey = "only-voter";

export class OnlyVoterRegister {
  readonly #metadata: MetadataStore;
  #stored: StoredVoter | undefined;
  #version = 0;
  #wanted: StoredVoter | undefined;
  #isWriting = false;
  /** Groups that this member alone decides for. */
  readonly #alone: Set<number> = new Set();

  constructor(metadata: MetadataStore) {
    this.#metadata = metadata;
  }

  async load(): Promise<void> {
    const stored = await this.#metadata.get(onlyVoterKey);
    if (stored === undefined) return;
    this.#version = stored.version;
    this.#stored = decode(stored.value);
  }

  /** What is known durably. Without a word about this member, the founders say it: who joined was no voter at first. */
  isOnlyVoter(identity: CellIdentity): boolean {
    const member = memberOf(identity.node, identity.generation);
    if (this.#stored?.member === member) return this.#stored.isOnly;
    return identity.founders.length === 1 && identity.founders[0] === identity.node;
  }

  /**
   * To be told of every configuration in the log of a group. Writes what is new, one after another; the last word counts.
   * It is so as long as it is so in any group: what one of them keeps may be the only copy.
   */
  onConfiguration(identity: CellIdentity, { voters, outgoing }: Configuration, group: number): void {
    const member = memberOf(identity.node, identity.generation);
    const isAlone = [voters, outgoing].some((half) => half.length === 1 && half[0] === member);
    if (isAlone) this.#alone.add(group);
    else this.#alone.delete(group);
    const isOnly = this.#alone.size > 0;
    const known = this.#wanted?.member === member ? this.#wanted.isOnly : this.isOnlyVoter(identity);
    if (isOnly === known) return;
    this.#wanted = { member, isOnly };
    if (!this.#isWriting) void this.#write();
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    try {
      for (let next = this.#wanted; next !== undefined && next !== this.#stored; next = this.#wanted) {
        const value = new TextEncoder().encode(JSON.stringify(next));
        if (!(await this.#metadata.compareAndSet(onlyVoterKey, this.#version, value))) return;
        this.#version += 1;
        this.#stored = next;
      }
    } catch {
      // A full disk: the next configuration, or the next start, says it again. What is worse the store reports itself.
      this.#wanted = undefined;
    } finally {
      this.#isWriting = false;
    }
  }
}

/** Whether a state store that cannot be opened may be made anew: others have the state of a member that is not alone. */
export async function mayRefetch(metadata: MetadataStore): Promise<boolean> {
  const identity = await new IdentityRegister(metadata).load();
  if (identity?.state !== "member") return false;
  const register = new OnlyVoterRegister(metadata);
  await register.load();
  return !register.isOnlyVoter(identity) && !(await keepsAlone(metadata, identity));
}

/** In place of putting the log aside. */
export function onlyVoterDamage(damage: string): QuipuError {
  const what =
    "This node is its cell's only voter, or alone keeps a part of its log: nobody else has what its log held, so nothing was put aside";
  return new QuipuError("LOG_CORRUPT", `${damage}. ${what}. Restore the data directory as a whole.`);
}

function decode(value: Uint8Array): StoredVoter {
  try {
    const stored = JSON.parse(new TextDecoder("utf8", { fatal: true }).decode(value)) as Partial<StoredVoter> | null;
    if (Number.isSafeInteger(stored?.member) && typeof stored?.isOnly === "boolean") return stored as StoredVoter;
  } catch (cause) {
    throw new QuipuError("STORE_CORRUPT", "whether the node is the only voter does not decode", { cause });
  }
  throw new QuipuError("STORE_CORRUPT", "whether the node is the only voter is not said");
}
