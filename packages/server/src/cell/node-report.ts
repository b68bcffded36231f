/** What a node tells the others about itself, some times a second; the rows of `quipu status` are made of these. */
import { z } from "zod";
import type { ListenAddress } from "../node-status.ts";

export interface NodeReport {
  readonly version: string;
  readonly member: number;
  readonly incarnation: number;
  readonly ready: boolean;
  /** Of the shard: loading, replaying, serving, fetching, stopped. */
  readonly phase: string;
  readonly role: string;
  readonly term: number;
  /** Member that this node follows, or itself; null: it knows of none. */
  readonly leader: number | null;
  /** In its configuration. */
  readonly members: readonly number[];
  readonly appliedPosition: number;
  readonly committedPosition: number;
  /** Where its doors can be reached. */
  readonly resp: ListenAddress;
  readonly http: ListenAddress;
}

const count = z.number().int();
const address = z.object({ host: z.string(), port: count.min(0).max(65_535) });

export const nodeReportSchema: z.ZodType<NodeReport> = z.object({
  version: z.string(),
  member: count,
  incarnation: count,
  ready: z.boolean(),
  phase: z.string(),
  role: z.string(),
  term: count,
  leader: count.nullable(),
  members: z.array(count).max(64),
  appliedPosition: count,
  committedPosition: count,
  resp: address,
  http: address,
});
