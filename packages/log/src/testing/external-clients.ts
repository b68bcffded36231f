/** What both parts of the suite of external services share: two clients of one prefix, and values that show mistakes. */
import type { ExternalService } from "../engines/external/service.ts";

/** Two clients of one prefix with nothing below it. */
export interface Clients {
  readonly one: ExternalService;
  readonly other: ExternalService;
  readonly isSilentWhenClosed: boolean;
}

export type WithClients = (body: (clients: Clients) => Promise<void>) => Promise<void>;

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

export const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : new TextDecoder().decode(value);

/** Not all alike, so that a piece in the wrong place shows. */
export const large = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255);

/** Whole values of a megabyte are too long for a matcher that looks for the first difference. */
export const isEqual = (left: Uint8Array | undefined, right: Uint8Array): boolean =>
  left?.length === right.length && left.every((byte, i) => byte === right[i]);
