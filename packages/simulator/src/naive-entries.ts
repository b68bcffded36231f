/**
 * The naive model's keys and values, with every version that ever was, so that a read can be checked at any place
 * of the log. Shares no code with @quipu/counters.
 */

import { keySlot } from "@quipu/routing";
import { bytesOf } from "./text.ts";

/** An integer, or text that is none. */
export type NaiveValue = bigint | string;

export interface NaiveEntry {
  readonly value: NaiveValue;
  readonly minimum: bigint | undefined;
  readonly maximum: bigint | undefined;
  readonly expiresAtMs: number | undefined;
}

/** A place in the log: after step `step` of record `lsn`. Step 0: expiry at its start. Steps count replies. */
export interface Place {
  readonly lsn: number;
  readonly step: number;
}

interface Version extends Place {
  readonly entry: NaiveEntry | undefined;
}

export class NaiveEntries {
  /** Where the operation under way stands: what it changes gets this version. */
  index = 0;
  /** Text form, `lsn-index`. */
  readonly #changed = new Map<string, string>();
  /** The last removal by slot: the version of every absent key there. */
  readonly #removed = new Map<number, string>();
  #flushed = "0-0";
  readonly #live = new Map<string, NaiveEntry>();
  readonly #versions = new Map<string, Version[]>();
  #place: Place = { lsn: 0, step: 0 };

  set place(place: Place) {
    this.#place = place;
  }

  get place(): Place {
    return this.#place;
  }

  get size(): number {
    return this.#live.size;
  }

  get(key: string): NaiveEntry | undefined {
    return this.#live.get(key);
  }

  keys(): readonly string[] {
    return [...this.#live.keys()];
  }

  /** The version of the key as `lsn-index`; of an absent one, its slot's last removal. */
  version(key: string): string {
    if (this.#live.has(key)) return this.#changed.get(key) ?? "0-0";
    return this.#removed.get(slotOf(key)) ?? this.#flushed;
  }

  /** A flush counts as a removal in every slot. */
  flushed(): void {
    this.#removed.clear();
    this.#flushed = `${this.#place.lsn}-${this.index}`;
  }

  set(key: string, entry: NaiveEntry | undefined): void {
    const version = `${this.#place.lsn}-${this.index}`;
    if (entry === undefined) this.#removed.set(slotOf(key), version);
    else this.#changed.set(key, version);
    if (entry === undefined) this.#live.delete(key);
    else this.#live.set(key, entry);
    let versions = this.#versions.get(key);
    if (versions === undefined) this.#versions.set(key, (versions = []));
    versions.push({ ...this.#place, entry });
  }

  /** The entry as of `place`. */
  at(key: string, place: Place): NaiveEntry | undefined {
    const versions = this.#versions.get(key) ?? [];
    for (let i = versions.length - 1; i >= 0; i--) {
      const version = versions[i] as Version;
      if (version.lsn < place.lsn || (version.lsn === place.lsn && version.step <= place.step)) return version.entry;
    }
    return undefined;
  }

  /** Steps of record `lsn`, above `afterStep`, that touched the key, in order. */
  stepsWithin(key: string, lsn: number, afterStep: number): readonly number[] {
    const versions = this.#versions.get(key) ?? [];
    return versions.filter((version) => version.lsn === lsn && version.step > afterStep).map((version) => version.step);
  }
}

function slotOf(key: string): number {
  return keySlot(bytesOf(key.slice(key.indexOf("/") + 1)));
}

const integerText = /^(?:0|-?[1-9][0-9]{0,18})$/;
const int64Max = 9_223_372_036_854_775_807n;
const int64Min = -9_223_372_036_854_775_808n;

export function fitsInt64(value: bigint): boolean {
  return value >= int64Min && value <= int64Max;
}

/** Text in the form in which Redis writes an integer is one; anything else is a string. */
export function naiveValue(text: string): NaiveValue {
  if (!integerText.test(text)) return text;
  const value = BigInt(text);
  return fitsInt64(value) ? value : text;
}

export function valueText(entry: NaiveEntry | undefined): string {
  if (entry === undefined) return "nil";
  return typeof entry.value === "bigint" ? `i:${entry.value}` : `b:${entry.value}`;
}

/** Promise P5: no step goes outside, or further outside where FORCE left the value there. */
export function staysWithinBounds(entry: NaiveEntry | undefined, to: bigint): boolean {
  const from = typeof entry?.value === "bigint" ? entry.value : 0n;
  if (entry?.maximum !== undefined && to > entry.maximum && to > from) return false;
  return !(entry?.minimum !== undefined && to < entry.minimum && to < from);
}
