/** Waiting for a condition that other turns of the event loop bring about. */

/** Far more than anything here needs; a test that waits in vain fails instead of hanging. */
const waitMsMax = 8_000;

export async function until(isSo: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + waitMsMax;
  while (!isSo()) {
    if (performance.now() > deadlineMs) throw new Error(`waited in vain for ${isSo.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Lets everything happen that is about to happen. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}
