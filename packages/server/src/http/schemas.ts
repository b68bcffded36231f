/** The shapes of the HTTP interface; OpenAPI is made from them. Integers are decimal strings (promise P6). */
import { z } from "zod";

const int64Text = z
  .string()
  .regex(/^(0|-?[1-9]\d{0,18})$/)
  .describe("A signed 64-bit integer in decimal");
const positionText = z.string().describe("The record in the log that this reply reflects");
const versionText = z.string().describe("Where the value was last changed, as lsn-index; also the ETag");
const shard = z.number().int().describe("The shard that answered");

export const keyParameters: z.ZodType<{ readonly key: string }> = z.object({
  key: z.string().min(1).describe("The counter's name, UTF-8, percent-encoded"),
});

export const databaseQuery: z.ZodType<{ readonly database: number }> = z.strictObject({
  database: z.coerce.number().int().min(0).max(15).default(0).describe("One of the 16 namespaces"),
});

export interface ChangeHeaders {
  readonly "idempotency-key"?: string | undefined;
  readonly "if-match"?: string | undefined;
  readonly "if-none-match"?: string | undefined;
}

const idempotencyKey = z
  .string()
  .optional()
  .describe("Makes a retry safe: the same key and request give the reply of the first time");

export const addHeaders: z.ZodType<ChangeHeaders> = z.object({ "idempotency-key": idempotencyKey });

export const changeHeaders: z.ZodType<ChangeHeaders> = z.object({
  "idempotency-key": idempotencyKey,
  "if-match": z.string().optional().describe('A version in quotes, or * for "exists"; else 412'),
  "if-none-match": z.literal("*").optional().describe('Only * ("does not exist yet"); else 412'),
});

export const deleteHeaders: z.ZodType<ChangeHeaders> = z.object({
  "idempotency-key": idempotencyKey,
  "if-match": z.string().optional().describe("A version in quotes; else 412"),
});

export const addBody: z.ZodType<{ readonly delta: string }> = z.strictObject({
  delta: int64Text.describe("How much to add; negative to subtract"),
});

export const setBody: z.ZodType<{ readonly value: string }> = z.strictObject({ value: int64Text });

export interface CounterReply {
  readonly key: string;
  readonly value: string;
  readonly version: string;
  readonly min: string | null;
  readonly max: string | null;
  readonly expiresAtMs: string | null;
  readonly shard: number;
  readonly position: string;
}

export const counterReply: z.ZodType<CounterReply> = z
  .object({
    key: z.string(),
    value: int64Text,
    version: versionText,
    min: int64Text.nullable().describe("Lower bound"),
    max: int64Text.nullable().describe("Upper bound"),
    expiresAtMs: z.string().nullable().describe("Milliseconds since the Unix epoch, or null"),
    shard,
    position: positionText,
  })
  .meta({ id: "Counter" });

export interface DeleteReply {
  readonly key: string;
  readonly deleted: boolean;
  readonly shard: number;
  readonly position: string;
}

export const deleteReply: z.ZodType<DeleteReply> = z
  .object({ key: z.string(), deleted: z.boolean().describe("False if there was none"), shard, position: positionText })
  .meta({ id: "Deleted" });
