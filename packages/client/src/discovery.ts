/** Learns a cell's other front doors from one of them: `Q.CELL` answers rows of name, host, port. */
import { encodeCommand, replyText, type ReplyValue } from "@quipu/protocol";
import type { Endpoint } from "./endpoints.ts";
import type { Link } from "./link.ts";

const portMax = 65_535;

/** `learn` hears what it answers. A server that does not know the command, or answers something else, is no trouble. */
export function askForDoors(link: Link, learn: (doors: readonly Endpoint[]) => void): void {
  const { connection } = link;
  if (connection === undefined) return;
  connection.expect({
    receive: (reply) => {
      const rows = Array.isArray(reply) ? (reply as readonly ReplyValue[]) : [];
      const doors = rows.map(readDoor).filter((door) => door !== undefined);
      if (doors.length > 0) learn(doors);
      return true;
    },
    lost: () => undefined,
  });
  connection.send(encodeCommand(["Q.CELL"]));
}

function readDoor(row: ReplyValue): Endpoint | undefined {
  if (!Array.isArray(row)) return undefined;
  const [, hostValue, portValue] = row as readonly ReplyValue[];
  const host = hostValue === undefined ? undefined : replyText(hostValue);
  const port = typeof portValue === "number" ? portValue : Number(portValue === undefined ? "" : replyText(portValue));
  if (host === undefined || host === "" || !Number.isInteger(port) || port < 1 || port > portMax) return undefined;
  return { host, port };
}
