/** Hash slots and hash tags. Pure. */
export {};
