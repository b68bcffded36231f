/** Broken local invariants: a bug, never an expected failure. They stay checked in production. */

/** Thrown when our own code is wrong. Whoever owns the replica stops it; nobody carries on. */
export class InvariantViolation extends Error {
  override readonly name = "InvariantViolation";
}

/** Throws {@link InvariantViolation} unless `condition` holds. `message` names the numbers involved. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantViolation(message);
}

/** The end of an exhaustive switch: compiles only if every variant has been handled. */
export function unreachable(value: never): never {
  throw new InvariantViolation(`unreachable variant: ${JSON.stringify(value)}`);
}
