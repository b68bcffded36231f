/** The TypeScript SDK: sessions, batches, exact counts through reconnects. */
export {};
