/** What a chain says of a segment on an external engine. */
import { QuipuError } from "@quipu/core";

/** Names that every service takes as part of a key. */
const namePattern = /^[0-9A-Za-z-]{1,64}$/;

/** The name of the log. Throws LOG_CORRUPT for anything that {@link externalEngine} does not write. */
export function parseParameters(parameters: string): string {
  try {
    const { log } = JSON.parse(parameters) as { readonly log?: unknown };
    if (typeof log === "string" && namePattern.test(log)) return log;
  } catch {
    // Said below.
  }
  throw new QuipuError("LOG_CORRUPT", `no parameters of a log on an external service: ${parameters.slice(0, 200)}`);
}
