/** Where the engines on services look for their service, and who hears when nobody is there. */
import { defaultReplicaLimits } from "@quipu/cluster";
import type { Clock } from "@quipu/core";
import { externalEngineSettings } from "@quipu/log";
import { expect, test } from "vitest";
import { ServiceEngines } from "../src/engines/service-engines.ts";
import { silentLog } from "../src/log.ts";
import { CryptoRandom } from "../src/ports/crypto-random.ts";

/** Every deadline has passed by the next look. */
function hurriedClock(): Clock {
  let nowMs = 0;
  return {
    monotonicMs: () => (nowMs += 60_000),
    wallMs: () => Date.now(),
    setTimer: (ms, action) => {
      const timer = setTimeout(action, ms);
      return () => clearTimeout(timer);
    },
    endOfTurn: (callback) => void setImmediate(callback),
  };
}

test("a new segment that nobody asked for goes where the log is", async () => {
  const services = new ServiceEngines({
    settings: { endpoints: undefined, prefix: undefined, user: undefined, tls: undefined },
    engine: undefined,
    clock: hurriedClock(),
    random: new CryptoRandom(),
    log: silentLog,
  });
  const engine = services.engines.etcd;
  try {
    const place = { endpoints: ["127.0.0.1:1"], prefix: "/elsewhere", log: "a" };
    await expect(engine.prepare()).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    // Nobody answers there, so the refusal says where it was looked for.
    await expect(engine.open(JSON.stringify(place))).rejects.toMatchObject({ code: "NOQUORUM" });
    const text = expect.stringMatching(/127\.0\.0\.1:1/u) as unknown;
    await expect(engine.prepare()).rejects.toMatchObject({ code: "NOQUORUM", message: text });
  } finally {
    await services.close();
  }
});

test("callers hear of the service what is wrong with it, before they hear that it takes too long", () => {
  expect(externalEngineSettings.deadlineMs).toBeLessThan(defaultReplicaLimits.requestDeadlineMs - 1000);
});
