/** Cores as the tests make them: small limits, chance that a test decides. */
import type { MemberId, RestoredState } from "@quipu/consensus";
import { invariant, type Random } from "@quipu/core";
import type { RaftMutation } from "../../src/raft/mutation.ts";
import { Raft } from "../../src/raft/raft.ts";
import { defaultRaftSettings, type RaftSettings } from "../../src/raft/settings.ts";

export type Settings = RaftSettings;
export type SettingName = keyof RaftSettings;

/** Chance that always gives the same number, until the test changes it: an election timeout is 10 ticks and that. */
export interface StubRandom extends Random {
  value: number;
}

export function stubRandom(value: number): StubRandom {
  return {
    value,
    uint32() {
      return this.value;
    },
    below(limit: number) {
      return Math.min(this.value, limit - 1);
    },
    chance() {
      return false;
    },
  };
}

/** The defaults, but for what the text of a scenario names. */
export function settingsOf(given: Partial<Record<SettingName, string>>): RaftSettings {
  const known = Object.keys(given).every((name) => name in defaultRaftSettings);
  invariant(known, `no such setting among ${Object.keys(given).join()}`);
  const numbers = Object.entries(given).map(([name, value]) => [name, Number(value)]);
  return { ...defaultRaftSettings, ...(Object.fromEntries(numbers) as Partial<RaftSettings>) };
}

export function newRaft(given: {
  readonly member: MemberId;
  readonly random: Random;
  readonly settings: RaftSettings;
  readonly restored: RestoredState;
  readonly mutation?: RaftMutation;
}): Raft {
  return new Raft(given);
}
