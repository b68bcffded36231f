/** Bytes and messages: RESP2/RESP3. Pure. */
export {};
