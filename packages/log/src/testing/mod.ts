/** For tests of engines, here and elsewhere: the conformance suites. */
export { externalServiceConformance, type ExternalServiceSubject } from "./external-service-conformance.ts";
export { type ConformanceSubject, logletConformance, type LogUnderTest } from "./loglet-conformance.ts";
