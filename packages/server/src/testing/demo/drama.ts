/**
 * The acts of the demo: the leader is killed, started again, and the one that leads then is stopped for some seconds, as by
 * a machine that hangs.
 */
import type { LocalNode } from "../../local-cell/local-cell.ts";
import { delay } from "../delay.ts";
import type { Act } from "./acts.ts";

/** Longer than a cell needs to choose another leader, several times. */
const pauseMs = 3_000;
/** The consequences of an event are over by then. */
const settleMs = 1_500;

export function dramaActs(): readonly Act[] {
  let node: LocalNode | undefined;
  const present = (): LocalNode => {
    if (node === undefined) throw new Error("no act has come before");
    return node;
  };
  return [
    {
      what: async (stage) => {
        node = await stage.leader();
        return `kill -9 of ${node.name}, the leader`;
      },
      happen: async () => {
        await present().server.stop("SIGKILL");
        await delay(settleMs);
      },
    },
    {
      what: () => Promise.resolve(`${present().name} is started again`),
      happen: async (stage) => {
        await present().server.restart();
        await stage.whenWhole();
      },
    },
    {
      what: async (stage) => {
        node = await stage.leader();
        return `SIGSTOP of ${node.name}, which leads now, for ${pauseMs / 1000} s`;
      },
      happen: async (stage) => {
        present().server.signal("SIGSTOP");
        await delay(pauseMs);
        present().server.signal("SIGCONT");
        await stage.whenWhole();
      },
    },
  ];
}
