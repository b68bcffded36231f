/** True for addresses that only this machine reaches. A host name could resolve to anything, so only this one counts. */
export function isLoopback(address: string): boolean {
  return address === "localhost" || address === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(address);
}
