/** Q.BATCH: one numbered batch of a session, applied at most once (RIFL; DESIGN §4.5). */
import { ByteReader, ByteWriter, type ErrorCode } from "@quipu/core";
import { applyOperation } from "./apply-operation.ts";
import { readOutcome, writeOutcome } from "./codec.ts";
import type { SessionCommand } from "./operations.ts";
import type { OutcomeValue } from "./outcome.ts";
import { array, failure, one, textOutcome, zero } from "./outcomes.ts";
import type { State } from "./state.ts";
import { positionText } from "./version.ts";

const scratchWriter = new ByteWriter(256);
const scratchReader = new ByteReader();

export function applySession(state: State, command: SessionCommand): OutcomeValue {
  const before = state.index;
  const outcome = admit(state, command);
  state.index = before + command.operations.length; // Whatever came of it: indexes do not depend on outcomes.
  return outcome;
}

function admit(state: State, command: SessionCommand): OutcomeValue {
  const { sessions, limits } = state;
  const refusal = refusalOfSession(state, command);
  if (refusal !== null) return failure(refusal);
  const found = sessions.find(command.session, command.expiresAtMs);
  if (found < 0) {
    const full = sessions.size >= limits.sessionsMax || sessions.replyBytes >= limits.sessionsReplyBytesMax;
    if (full) return failure("OVERLOADED");
    return execute(state, command, sessions.add(command.session, command.expiresAtMs));
  }
  if (command.number < sessions.lowestOpen(found)) return failure("SESSION_NUMBER_USED");
  const reply = sessions.reply(found, command.number);
  if (reply !== undefined) return replayed(reply);
  // Even if the batch itself is then refused: only what is acknowledged makes room.
  sessions.acknowledge(found, command.lowestOpen);
  const full =
    !sessions.hasRoom(found, limits.sessionRepliesMax, limits.sessionReplyBytesMax) ||
    sessions.replyBytes >= limits.sessionsReplyBytesMax;
  if (full) return failure("OVERLOADED");
  return execute(state, command, found);
}

function refusalOfSession(state: State, command: SessionCommand): ErrorCode | null {
  const { limits } = state;
  const lifetimeMs = command.expiresAtMs - state.logTimeMs;
  // Decided by the id alone, so an expired one stays refused for ever, entry or not.
  if (lifetimeMs <= 0 && state.mutation !== "expired-session-reregistered") return "SESSION_EXPIRED";
  if (lifetimeMs > limits.sessionLifetimeMaxMs) return "INVALID_ARGUMENT";
  if (command.session.length === 0 || command.session.length > limits.sessionIdBytesMax) return "INVALID_ARGUMENT";
  // A number whose own reply is no longer wanted: its reply could not be kept.
  return command.lowestOpen > command.number ? "INVALID_ARGUMENT" : null;
}

/** Applies the operations and stores the reply under the batch's number. */
function execute(state: State, command: SessionCommand, session: number): OutcomeValue {
  const position = textOutcome(positionText(state.lsn, state.index + 1));
  const outcomes = array(command.operations.map((operation) => applyOperation(state, operation)));
  scratchWriter.reset();
  writeOutcome(scratchWriter, array([position, one, outcomes]));
  state.sessions.acknowledge(session, command.lowestOpen);
  state.sessions.addReply(session, command.number, scratchWriter.copy());
  return array([position, zero, outcomes]);
}

/** Stored the way it is replayed: with `replayed` 1. */
function replayed(reply: Uint8Array): OutcomeValue {
  scratchReader.reset(reply);
  return readOutcome(scratchReader);
}
