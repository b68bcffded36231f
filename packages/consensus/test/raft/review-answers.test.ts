/**
 * Every request to a core that does not crash gets exactly one answer, whatever becomes of leaders, members and messages
 * meanwhile: as long as the cell works again in the end, nobody waits for ever.
 */
import { expect, test } from "vitest";
import { emptyConfiguration, type MemberId, memberId } from "@quipu/consensus";
import { SeededRandom } from "@quipu/core";
import { Cell, foundingState, type RaftInput, restoredState } from "./cell.ts";
import { newRaft, settingsOf } from "./cores.ts";
import { Invariants } from "./invariants.ts";

const settings = { ...settingsOf({}), electionTicks: 4, messageEntriesMax: 3, inflightMessagesMax: 2 };

class Run {
  readonly cell: Cell;
  readonly random: SeededRandom;
  readonly members: readonly MemberId[];
  /** How many answers each request got. */
  readonly answers = new Map<number, number>();
  #requests = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    const invariants = new Invariants();
    this.cell = new Cell({
      create: (member, restored) =>
        newRaft({ member, random: new SeededRandom(this.random.uint32()), settings, restored }),
      watch: (event) => {
        invariants.watch(event);
        if (event.type !== "effect" || !("request" in event.effect)) return;
        const { request } = event.effect;
        this.answers.set(request, (this.answers.get(request) ?? 0) + 1);
      },
    });
    this.members = Array.from({ length: 2 + this.random.below(3) }, (_, place) => memberId(place + 1));
    for (const member of this.members) this.cell.add(member, foundingState(this.members));
    const joiner = memberId(9);
    this.cell.add(
      joiner,
      restoredState({ start: { ...foundingState([joiner]).start, configuration: emptyConfiguration } }),
    );
    this.members = [...this.members, joiner];
  }

  act(): void {
    const { cell, random } = this;
    const some = this.#one(this.members);
    const leaders = this.members.filter((member) => cell.core(member).inspect().role === "leader");
    const draw = random.below(100);
    if (draw < 45 && cell.network.length > 0) cell.deliver(this.#one(cell.network), random.chance(1, 20));
    else if (draw < 50 && cell.network.length > 0) cell.drop(this.#one(cell.network));
    else if (draw < 65) cell.persist(some, 1);
    else if (draw < 78) cell.step(some, { type: "tick" });
    else cell.step(leaders.length > 0 ? this.#one(leaders) : some, this.#request());
  }

  /** Everything arrives from here on; who is no member any more need not hear of it. */
  settle(): void {
    for (let tick = 0; tick < 60; tick++) {
      for (const member of this.members) this.cell.step(member, { type: "tick" });
      this.cell.stabilize();
    }
  }

  #request(): RaftInput {
    const { random } = this;
    const kind = random.below(10);
    if (kind === 9) return { type: "transferLeadership", to: this.#one(this.members) };
    const request = ++this.#requests;
    this.answers.set(request, 0);
    if (kind < 5) return { type: "readBarrier", request };
    if (kind < 7) return { type: "propose", request, records: [new TextEncoder().encode(`r${request}`)] };
    const voters = this.members.filter(() => random.chance(1, 2));
    const learners = this.members.filter((member) => !voters.includes(member) && random.chance(1, 2));
    return { type: "changeMembers", request, voters, learners };
  }

  #one<Item>(items: readonly Item[]): Item {
    return items[this.random.below(items.length)] as Item;
  }
}

test("every request is answered once", () => {
  let answered = 0;
  for (let seed = 1; seed <= 400; seed++) {
    const run = new Run(seed);
    for (let step = 0; step < 400; step++) run.act();
    run.settle();
    const wrong = [...run.answers].filter(([, count]) => count !== 1);
    expect(wrong, `seed ${seed}: requests and how often they were answered`).toEqual([]);
    answered += run.answers.size;
  }
  expect(answered).toBeGreaterThan(10_000);
});
