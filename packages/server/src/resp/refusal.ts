/** Replies that are errors: Redis' own texts where Redis has one, else the catalogue's first word and plain words. */
import { errorCatalogue, type ErrorCode, type QuipuError } from "@quipu/core";

/** Thrown by what reads a command's arguments; `text` is the reply with its first word. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly text: string;
  constructor(text: string) {
    super(text);
    this.text = text;
  }
}

export const notAnIntegerText = "ERR value is not an integer or out of range";
export const notAFloatText = "ERR value is not a valid float";
export const syntaxErrorText = "ERR syntax error";

export function syntaxError(): Refusal {
  return new Refusal(syntaxErrorText);
}

/** Errors that Redis has too: clients and people look for exactly these words. */
const redisTexts: Partial<Record<ErrorCode, string>> = {
  NOT_AN_INTEGER: notAnIntegerText,
  NOT_A_FLOAT: notAFloatText,
  NOT_FINITE: "ERR increment would produce NaN or Infinity",
  OVERFLOW: "ERR increment or decrement would overflow",
};

function textOf(code: ErrorCode, words: string): string {
  return redisTexts[code] ?? `${errorCatalogue[code].resp} ${words}`;
}

const encoder = new TextEncoder();
const encodedByCode = new Map<ErrorCode, Uint8Array>();

/** The whole reply to an error of the state machine. Made once per code: rejections can be as frequent as adds. */
export function encodedError(code: ErrorCode): Uint8Array {
  let encoded = encodedByCode.get(code);
  if (encoded === undefined) {
    encoded = encoder.encode(`-${textOf(code, errorCatalogue[code].summary)}\r\n`);
    encodedByCode.set(code, encoded);
  }
  return encoded;
}

/** The reply to a command that got no answer from the state machine. */
export function failureText(error: QuipuError): string {
  return textOf(error.code, error.message);
}

export function wrongArity(name: string): string {
  return `ERR wrong number of arguments for '${name}' command`;
}

/** Redis shows at most this much of a command that it does not know. */
const quotedBytesMax = 128;

export function unknownCommandText(commandArguments: readonly Uint8Array[]): string {
  const [name, ...rest] = commandArguments.map(printable);
  let quoted = "";
  for (const argument of rest) {
    if (quoted.length >= quotedBytesMax) break;
    quoted += `'${argument.slice(0, quotedBytesMax - quoted.length)}' `;
  }
  return `ERR unknown command '${(name ?? "").slice(0, quotedBytesMax)}', with args beginning with: ${quoted}`;
}

export function unknownSubcommandText(container: string, subcommand: Uint8Array): string {
  const shown = printable(subcommand).slice(0, quotedBytesMax);
  return `ERR unknown subcommand '${shown}'. Try ${container.toUpperCase()} HELP.`;
}

const decoder = new TextDecoder();

function printable(bytes: Uint8Array): string {
  return decoder.decode(bytes.subarray(0, 2 * quotedBytesMax));
}
