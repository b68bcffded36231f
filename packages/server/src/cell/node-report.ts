/** What a node tells the others about itself, some times a second; the rows of `quipu status` are made of these. */
import { z } from "zod";

const port = z.number().int().min(0).max(65_535);

export const nodeReportSchema = z.object({
  version: z.string(),
  member: z.number().int(),
  incarnation: z.number().int(),
  ready: z.boolean(),
  /** Of the shard: loading, replaying, serving, fetching, stopped. */
  phase: z.string(),
  role: z.string(),
  term: z.number().int(),
  /** Member that this node follows, or itself; null: it knows of none. */
  leader: z.number().int().nullable(),
  appliedPosition: z.number().int(),
  committedPosition: z.number().int(),
  /** Where its doors can be reached. */
  resp: z.object({ host: z.string(), port }),
  http: z.object({ host: z.string(), port }),
});
export type NodeReport = z.infer<typeof nodeReportSchema>;
