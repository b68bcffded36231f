/** Parts of a socket's chunk: as views while the chunk is there, as copies where they live longer. */

/** A plain view. Buffer's own subarray makes a Buffer, which costs several times as much. */
export function viewOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
}

export function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const copy = new Uint8Array(end - start);
  copy.set(viewOf(bytes, start, end));
  return copy;
}
