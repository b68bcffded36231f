/** Waiting, in real time: between the acts of a demo, between faults, never for luck in a test. */

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
