/** What operators ask of a cell: `quipu cell …`, `/v1/cluster/nodes`. Whoever leads carries it out. */
import { z } from "zod";

const name = z.string().min(1).max(63);
const address = z.object({ host: z.string().min(1).max(253), port: z.number().int().min(1).max(65_535) });

export const cellRequestSchema = z.discriminatedUnion("type", [
  /** A node that is not there yet may come. */
  z.object({ type: z.literal("add"), name, address }),
  /** Takes a node out, for good. */
  z.object({ type: z.literal("remove"), name }),
  /** A learner becomes a voter now. */
  z.object({ type: z.literal("promote"), name }),
  /** A machine is lost: its member goes, and another machine may come under its name. */
  z.object({ type: z.literal("replace"), name, address: address.optional(), force: z.boolean() }),
  z.object({ type: z.literal("transferLeadership"), to: name }),
]);
export type CellRequest = z.infer<typeof cellRequestSchema>;

export const cellAnswerSchema = z.object({ text: z.string() });
/** One sentence for the operator. */
export type CellAnswer = z.infer<typeof cellAnswerSchema>;
