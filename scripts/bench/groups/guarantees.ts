/** Groups `bounded` and `once`: what our own guarantees cost. */
import { interleaved } from "../pairs.ts";
import { heading, row } from "../report.ts";
import { fill } from "../sizes.ts";
import { rate, requestsOf, type SingleServers } from "./single-servers.ts";

export async function benchmarkBounds({ quipu, pairs, scale }: SingleServers): Promise<void> {
  heading("Bounded counters", "ours, not bounded");
  const keys = 100_000;
  await fill(
    quipu.port,
    keys,
    (index) => `Q.BOUND bounded:${String(index).padStart(12, "0")} MIN 0 MAX 1000000000000\r\n`,
    3,
  );
  for (const spreadOver of [1, keys]) {
    const load = (prefix: string): string[] => {
      const key = spreadOver === 1 ? `${prefix}:000000000000` : `${prefix}:__rand_int__`;
      return ["-c", "50", "-P", "16", "-r", String(keys), "-n", requestsOf(16, scale), "INCR", key];
    };
    const summary = await interleaved(
      pairs,
      () => rate(quipu.port, load("bounded")),
      () => rate(quipu.port, load("unlimit")),
    );
    row(`INCR -P 16, ${spreadOver} key(s)`, summary, "0.9");
  }
}

export async function benchmarkOnce({ quipu, pairs, scale }: SingleServers): Promise<void> {
  heading("Idempotency keys", "ours, plain INCR");
  const common = ["-c", "50", "-P", "16", "-r", "999999999999", "-n", String(Math.round(300_000 * scale))];
  const once = [...common, "Q.ONCE", "id:__rand_int__", "INCR", "once-counter"];
  const summary = await interleaved(
    pairs,
    () => rate(quipu.port, once),
    () => rate(quipu.port, [...common, "INCR", "plain-counter"]),
  );
  row("Q.ONCE, distinct keys, -P 16", summary, "0.4");
}
