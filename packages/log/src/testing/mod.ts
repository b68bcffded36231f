/** For tests of engines, here and elsewhere: the conformance suite. */
export { type ConformanceSubject, logletConformance, type LogUnderTest } from "./loglet-conformance.ts";
