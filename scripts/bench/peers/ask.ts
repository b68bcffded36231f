/** One command and its reply over a connection of its own, without any client library: for probes. */
import { connect } from "node:net";

/** A server that hangs has not answered; the probe is tried again. */
const answerDeadlineMs = 1_000;

/** Resolves to the reply's bytes as text; for one whole reply of at most some kilobytes. */
export function ask(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(`${command}\r\n`));
    socket.setEncoding("latin1");
    socket.setTimeout(answerDeadlineMs, () => socket.destroy(new Error(`no answer within ${answerDeadlineMs} ms`)));
    socket.on("data", (text: string) => {
      answer += text;
      if (!isWhole(answer)) return;
      socket.destroy();
      resolve(answer);
    });
    socket.once("error", reject);
    socket.once("close", () => reject(new Error(`the connection ended after: ${answer}`)));
  });
}

function isWhole(answer: string): boolean {
  const end = answer.indexOf("\r\n");
  if (end === -1) return false;
  const length = Number(answer.slice(1, end));
  if (!answer.startsWith("$") || length < 0) return true;
  return answer.length >= end + 2 + length + 2;
}
