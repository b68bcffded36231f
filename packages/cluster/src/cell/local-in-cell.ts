/**
 * The engine `local` in a cell: the log on the disk of one node, for as long as the cell has only that one. To others that
 * come later its segments are not here; they get a state snapshot and go on behind them.
 */
import type { MemberId } from "@quipu/consensus";
import { QuipuError } from "@quipu/core";
import {
  decodeGroupParameters,
  encodeGroupParameters,
  localEngine,
  type LogletEngine,
  type WriteAheadLog,
} from "@quipu/log";

export interface LocalInCellOptions {
  readonly wal: WriteAheadLog;
  readonly member: MemberId;
  /** Number and members of a new group. */
  readonly plan: () => Promise<{ readonly group: number; readonly members: readonly MemberId[] }>;
}

export function localInCell({ wal, member, plan }: LocalInCellOptions): LogletEngine {
  const inner = localEngine(wal);
  const numberOf = (parameters: string): string => String(decodeGroupParameters(parameters).group);
  return {
    async prepare(): Promise<string> {
      const { group, members } = await plan();
      if (members.length !== 1 || members[0] !== member) {
        const what = `the engine local keeps the log on one node; this cell has ${members.length} that vote`;
        throw new QuipuError("INVALID_ARGUMENT", `${what}: choose raft or multi-paxos, or remove nodes first`);
      }
      return encodeGroupParameters({ group, members });
    },
    async open(parameters: string) {
      if (!decodeGroupParameters(parameters).members.includes(member)) return undefined;
      await inner.make(numberOf(parameters));
      return await inner.open(numberOf(parameters));
    },
    discard: (parameters) => inner.discard(numberOf(parameters)),
  };
}
