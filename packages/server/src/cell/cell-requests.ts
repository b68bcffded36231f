/** What operators ask of a cell: `quipu cell …`, `POST /v1/cluster/requests`. Whoever leads carries it out. */
import { z } from "zod";
import type { PeerAddress } from "../peers/peer-transport.ts";
import { type EngineName, engineNames } from "../engines/engine-names.ts";
import { namePattern } from "./cell-settings.ts";

export type CellRequest =
  /** A node that is not there yet may come. */
  | { readonly type: "add"; readonly name: string; readonly address: PeerAddress }
  /** A node has another address; its disk and its vote stay. */
  | { readonly type: "move"; readonly name: string; readonly address: PeerAddress }
  /** Takes a node out, for good. */
  | { readonly type: "remove"; readonly name: string }
  /** A learner becomes a voter now. */
  | { readonly type: "promote"; readonly name: string }
  /** A machine is lost: its member goes, and another machine may come under its name. */
  | {
      readonly type: "replace";
      readonly name: string;
      readonly address?: PeerAddress | undefined;
      readonly force: boolean;
    }
  | { readonly type: "transferLeadership"; readonly to: string }
  /** The log goes on, on another engine or in a new segment of the same one, while clients write. */
  | {
      readonly type: "switchEngine";
      readonly engine: EngineName;
      /** Of etcd or ZooKeeper; absent: what the node was started with. */
      readonly endpoints?: readonly string[] | undefined;
      readonly prefix?: string | undefined;
    };

/** One sentence for the operator. */
export interface CellAnswer {
  readonly text: string;
}

const name = z.string().regex(namePattern, "a name is letters, digits, dots, dashes and underscores");
const address = z.object({
  host: z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/, "a host is a name or an address"),
  port: z.number().int().min(1).max(65_535),
});
/** It is told to whoever asks what the log is on. */
const endpoint = z
  .string()
  .max(512)
  .regex(/^[^@]*$/, "an endpoint is host:port; user and password are settings of the nodes");

export const cellRequestSchema: z.ZodType<CellRequest, CellRequest> = z
  .discriminatedUnion("type", [
    z.object({ type: z.literal("add"), name, address }),
    z.object({ type: z.literal("move"), name, address }),
    z.object({ type: z.literal("remove"), name }),
    z.object({ type: z.literal("promote"), name }),
    z.object({ type: z.literal("replace"), name, address: address.optional(), force: z.boolean() }),
    z.object({ type: z.literal("transferLeadership"), to: name }),
    z.object({
      type: z.literal("switchEngine"),
      engine: z.enum(engineNames),
      endpoints: z.array(endpoint).min(1).max(16).optional(),
      prefix: z.string().max(128).optional(),
    }),
  ])
  .meta({ id: "CellRequest" });

export const cellAnswerSchema: z.ZodType<CellAnswer> = z.object({ text: z.string() }).meta({ id: "CellAnswer" });
