/** Why a port could not be opened, and what to do about it. */
import { QuipuError } from "@quipu/core";

/** `setting` is the flag that chooses the port. */
export function listenFailure(error: unknown, setting: string, bind: string, port: number): QuipuError {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EADDRINUSE" || code === "PORT_IN_USE") {
    return new QuipuError(
      "PORT_IN_USE",
      `port ${port} on ${bind} is taken by another process. See which: ss -ltnp "sport = :${port}". ` +
        `Stop it, or choose another port with ${setting}.`,
      { cause: error },
    );
  }
  if (error instanceof QuipuError) return error;
  if (code === "EACCES") {
    return new QuipuError("INVALID_CONFIGURATION", `port ${port} needs more rights than this user has (${setting})`, {
      cause: error,
    });
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new QuipuError("INVALID_CONFIGURATION", `cannot listen on ${bind} port ${port}: ${reason} (${setting})`, {
    cause: error,
  });
}
