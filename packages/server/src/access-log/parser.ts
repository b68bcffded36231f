/**
 * A line of a web server's access log: Common or Combined Log Format (Apache `mod_log_config`, nginx `combined`).
 *
 *     client identity user [time] "METHOD path PROTOCOL" status bytes ["referer" "agent"]
 */

export const hitFields = ["path", "status", "client"] as const;
export type HitField = (typeof hitFields)[number];

/** What of one request is counted. */
export type Hit = Readonly<Record<HitField, string>>;

/**
 * Client, identity, user, time and request are matched as far as they must be to find what follows them. A quote in a
 * request is written as \" by both servers; what comes after the status does not matter here.
 */
const linePattern = /^(\S+) \S+ .*?\[[^\]]*\] "((?:[^"\\]|\\.)*)" (\d{3}) (?:\d+|-)(?: |$)/;

/** Longer lines are no access log; the pattern is not tried on them. */
const lineCharactersMax = 16 * 1024;

/** Undefined where the line is of another form. */
export function parseAccessLogLine(line: string): Hit | undefined {
  if (line.length > lineCharactersMax) return undefined;
  const match = linePattern.exec(line);
  if (match === null) return undefined;
  const [, client, request, status] = match as unknown as readonly [string, string, string, string];
  const words = request.split(" ");
  // "-" stands for a connection that sent no request; it is a hit all the same.
  const path = words.length >= 2 ? (words[1] as string) : request;
  return { client, path, status };
}
