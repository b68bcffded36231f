/** External engines: loglets on a coordination service that the user trusts already. One driver for all services. */
import type { Clock, QuipuError, Random } from "@quipu/core";
import type { Loglet, LogletEngine } from "../../loglet.ts";
import { drawId } from "./batch.ts";
import { isUnreachable } from "./follower.ts";
import { ExternalLoglet } from "./loglet.ts";
import type { ExternalMutation } from "./mutation.ts";
import { backOffMs, Pauses } from "./pauses.ts";
import { parseParameters } from "./parameters.ts";
import type { ExternalService } from "./service.ts";
import { type ExternalEngineSettings, externalEngineSettings } from "./settings.ts";

export interface ExternalEngineOptions {
  /** Whoever gives it closes it, after the loglets. */
  readonly service: ExternalService;
  readonly clock: Clock;
  /** Names of logs and ids of batches are drawn from it: two nodes must not have the same seed. */
  readonly random: Random;
  readonly settings?: Partial<ExternalEngineSettings>;
  /** What the service keeps is not what was written there (LOG_CORRUPT). That log goes on no more on this node. */
  readonly onDamage?: (error: QuipuError) => void;
  /** Tests only. */
  readonly mutation?: ExternalMutation;
}

/** Loglets on `service`. Their parameters are JSON: `{"log": name}`. */
export function externalEngine(options: ExternalEngineOptions): LogletEngine<Loglet> {
  const { service, clock, random, mutation } = options;
  const settings: ExternalEngineSettings = { ...externalEngineSettings, ...options.settings };
  /** What is asked for may be done twice, so no answer is no reason to give up at once. */
  const untilReached = async <Result>(action: () => Promise<Result>): Promise<Result> => {
    const pauses = new Pauses(clock);
    const sinceMs = clock.monotonicMs();
    for (let failures = 1; ; failures++) {
      try {
        return await action();
      } catch (error) {
        if (!isUnreachable(error) || clock.monotonicMs() - sinceMs >= settings.deadlineMs) throw error;
        await pauses.pause(backOffMs(failures, settings.retryMs, settings.retryMsMax, random));
      }
    }
  };
  return {
    async prepare(): Promise<string> {
      const log = drawId(random);
      await untilReached(() => service.createLog(log));
      return JSON.stringify({ log });
    },
    async open(parameters: string): Promise<Loglet> {
      const name = parseParameters(parameters);
      const log = await untilReached(() => service.openLog(name));
      const head = await untilReached(() => log.head());
      return new ExternalLoglet({
        ...{ log, head, name, clock, random, settings, mutation },
        engine: service.engine,
        describe: `${service.description}, log ${name}`,
        valueBytesMax: service.valueBytesMax,
        onDamage: options.onDamage ?? (() => undefined),
      });
    },
    async discard(parameters: string): Promise<void> {
      await untilReached(() => service.removeLog(parseParameters(parameters)));
    },
  };
}
