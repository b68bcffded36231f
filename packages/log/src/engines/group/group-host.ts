/** What the parts of a group have of it, and of each other. */
import type { Configuration, CoreView, Effect, Entry, Input, MemberId, RequestId, Role, Term } from "@quipu/consensus";
import type { LogIndex } from "@quipu/consensus";
import type { Random } from "@quipu/core";
import type { GroupEngine } from "@quipu/protocol";
import type { PeerHub } from "../../peer/peer-hub.ts";
import type { GroupMutation } from "./mutation.ts";
import type { GroupSettings } from "./settings.ts";

/** What does not come from another member's core. */
export type LocalInput = Exclude<Input<never>, { readonly type: "receive" }>;
export type PersistEffect<Message> = Extract<Effect<Message>, { readonly type: "persist" }>;

/** What of a persist goes to the disk. */
export interface PersistContent extends Pick<
  PersistEffect<never>,
  "hardState" | "restart" | "trim" | "truncateFrom" | "append"
> {
  /** Of a restart in several pieces: what all of them append. */
  readonly restated?: readonly Entry[];
}

/** What a core says to a request. */
export type Answer = Extract<Effect<never>, { readonly type: "proposed" | "barrierReady" | "reply" }>;

/** As the core said last. */
export interface Leadership {
  readonly role: Role;
  readonly term: Term;
  readonly leader: MemberId | undefined;
}

export interface GroupHost {
  readonly group: number;
  readonly engine: GroupEngine;
  readonly member: MemberId;
  readonly settings: GroupSettings;
  readonly hub: PeerHub;
  readonly random: Random;
  readonly mutation: GroupMutation | undefined;
  /** Ticks since the group was opened. */
  readonly nowTicks: number;
  readonly leadership: Leadership;
  /** In force, committed or not. */
  readonly configuration: Configuration;
  /** Why appends are refused at present, before they are taken anywhere; undefined: they are not. */
  readonly refusal: "DISK_FULL" | undefined;
  inspect(): CoreView;
  entry(index: LogIndex): Entry | undefined;
  /**
   * Runs `job` at once, or behind the one that is running: a core takes one input, and all of that input's effects are
   * carried out, before the next.
   */
  run(job: () => void): void;
  /** Gives the core an input and carries out the effects. Only inside of a job. */
  step(input: LocalInput): void;
  /** The same with a request, whose answer comes during the step or in a later one. */
  ask(makeInput: (request: RequestId) => LocalInput, onAnswer: (answer: Answer) => void): void;
  /** Another member waits for `index` to be committed, and is told as soon as it is. */
  awaits(member: MemberId, index: LogIndex): void;
}

/** Below 2^48, as ids on the wire are. */
export function randomId(random: Random): number {
  return random.uint32() * 0x1_0000 + random.below(0x1_0000);
}
