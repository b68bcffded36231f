/** The server's own log: JSON lines on standard error (pino), so that standard output stays for answers. */
import { pino, destination as pinoDestination } from "pino";

export const logLevels = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

type Write = (fields: Readonly<Record<string, unknown>>, message: string) => void;

/** What the server's parts need of a logger: structured fields first, then a sentence. */
export interface Log {
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
  readonly fatal: Write;
}

export function createLog(level: LogLevel): Log {
  // Synchronous: the last line before the process ends is the one that matters.
  const destination = pinoDestination({ dest: 2, sync: true });
  // Nobody reads any more: no reason to stop counting.
  destination.on("error", () => {});
  const logger = pino({ level, base: null }, destination);
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    fatal: (fields, message) => logger.fatal(fields, message),
  };
}

/** For tests and embedded use. */
export const silentLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  fatal: () => {},
};
