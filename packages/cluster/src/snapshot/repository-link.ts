/** A repository of snapshots as if it were another member: answers what a fetcher asks, out of its blobs. */
import { type MemberId, memberId } from "@quipu/consensus";
import { lsn, QuipuError } from "@quipu/core";
import type { PeerMessage, SnapshotChunk, SnapshotRequest } from "@quipu/protocol";
import { isDamage } from "../log-errors.ts";
import type { SnapshotRepository } from "./repository.ts";
import type { SnapshotLink, SnapshotMessageType } from "./settings.ts";

/** The highest id: no node gets so far. */
export const repositoryMember: MemberId = memberId(0xffff_ffff);

type Handler = (from: MemberId, message: PeerMessage) => void;

export class RepositoryLink implements SnapshotLink {
  readonly member: MemberId;
  readonly #repository: SnapshotRepository;
  readonly #onFatal: (error: unknown) => void;
  readonly #handlers: Map<SnapshotMessageType, Handler> = new Map();

  constructor(member: MemberId, repository: SnapshotRepository, onFatal: (error: unknown) => void) {
    this.member = member;
    this.#repository = repository;
    this.#onFatal = onFatal;
  }

  peers(): readonly MemberId[] {
    return [repositoryMember];
  }

  /** What is said to all members is not for a repository. */
  send(to: MemberId, message: PeerMessage): void {
    if (to !== repositoryMember || message.type !== "snapshotRequest") return;
    this.#answer(message).then(
      (answer) => {
        if (answer !== undefined) this.#handlers.get(answer.type)?.(repositoryMember, answer);
      },
      (error: unknown) => {
        // Out of reach: whoever asked asks again.
        if (!(error instanceof QuipuError)) this.#onFatal(error);
      },
    );
  }

  handle<Type extends SnapshotMessageType>(
    type: Type,
    handler: (from: MemberId, message: Extract<PeerMessage, { readonly type: Type }>) => void,
  ): void {
    this.#handlers.set(type, handler as Handler);
  }

  async #answer(request: SnapshotRequest): Promise<Extract<PeerMessage, { type: SnapshotMessageType }> | undefined> {
    const { shard, transfer, totalBytes, checksum } = request;
    try {
      const found =
        totalBytes === 0
          ? await this.#repository.newest(request.atLeast)
          : this.#repository.known({ position: lsn(request.position), totalBytes, checksum });
      const data =
        found === undefined ? undefined : await this.#repository.chunk(found.id, found.manifest, request.offset);
      if (found !== undefined && data !== undefined) return chunkOf(request, found.manifest, data);
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
    return { type: "snapshotRefused", shard, transfer, reason: "unavailable" };
  }
}

function chunkOf(
  { shard, transfer, offset }: SnapshotRequest,
  {
    position,
    totalBytes,
    checksum,
    logStart,
  }: { position: number; totalBytes: number; checksum: number; logStart: Uint8Array },
  data: Uint8Array,
): SnapshotChunk {
  return { type: "snapshotChunk", shard, transfer, position, totalBytes, checksum, logStart, offset, data };
}
