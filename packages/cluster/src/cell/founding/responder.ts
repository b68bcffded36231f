/** On a node that belongs to a cell: tells nodes that do not belong to one yet that the cell is there, and their number. */
import { type FoundingLink, parseFoundingMessage } from "./messages.ts";

export interface FoundingResponderOptions {
  readonly link: FoundingLink;
  readonly cell: number;
  /**
   * The number of that name in the cell's roster; undefined: it is not in it; "unknown": this node does not know the
   * roster yet, and is asked again. Only members of the cell are told numbers by their own disk.
   */
  readonly numberOf: (name: string) => number | "unknown" | undefined;
}

/**
 * To be made as soon as the node knows its cell, before it waits for a quorum: the others of a founding may be waiting for
 * this very word.
 */
export class FoundingResponder {
  constructor({ link, cell, numberOf }: FoundingResponderOptions) {
    link.onMessage((from, value) => {
      const message = parseFoundingMessage(value);
      if (message?.type !== "ask") return;
      const number = numberOf(from) ?? null;
      const standing = { state: "member", cell, number } as const;
      link.send(from, { type: "answer", question: message.question, standing, names: link.names });
    });
  }
}
