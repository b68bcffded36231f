/** Deliberate bugs of the virtual log, for tests: each is caught, or the tests are blind. */
export type VirtualLogMutation =
  /** The chain is extended at the tail that was seen before the seal. */
  | "tail-before-seal"
  /** The chain is extended without a seal. */
  | "extended-without-seal"
  /** The chain is written without looking whether somebody else changed it meanwhile. */
  | "chain-not-conditional"
  /** Readers go over to the newest segment before they have read the old one to its end. */
  | "reader-crosses-early"
  /** A segment goes from the chain as soon as this node needs it no more. */
  | "dropped-on-own-checkpoint";
