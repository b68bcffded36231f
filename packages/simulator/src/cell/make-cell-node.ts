/** The node under test: `CellNode` of @quipu/cluster with the sizes that a seed has drawn. */
import { CellNode, type CellNodeSettings } from "@quipu/cluster";
import type { LifeOptions, NodeUnderTest } from "./node-under-test.ts";
import type { CellSwarm } from "./swarm.ts";

/** Any; the same for all. */
const cellId = 0x5eed;

export function makeCellNode(options: LifeOptions): NodeUnderTest {
  const { disk, store, network, clock, random, node, bootstrap, swarm, mutations, engines } = options;
  const { onFatal, observeLog, observeGroup, recovered, diverged } = options;
  return new DescribedNode({
    disk,
    store,
    network,
    clock,
    random,
    cell: cellId,
    node,
    bootstrap,
    settings: settingsOf(swarm),
    initialEngine: swarm.initialEngine,
    engines,
    mutations,
    onFatal,
    observeLog,
    observeGroup: (group, raft) =>
      observeGroup(group, {
        engine: raft.engine,
        inspect: () => raft.inspect(),
        entry: (i) => raft.entry(i as never),
      }),
    recovered: () => recovered(),
    onDivergence: (report) => diverged(JSON.stringify(report)),
  });
}

class DescribedNode extends CellNode {
  reconfigure(engine: string): Promise<unknown> {
    return this.log.reconfigure(engine);
  }

  describe(): string {
    try {
      const { damage, shard } = this.status;
      return JSON.stringify({ damage, ...shard });
    } catch {
      return "its log is not open";
    }
  }
}

function settingsOf(swarm: CellSwarm): CellNodeSettings {
  const { segmentBytes, frameBytesMax, recordsInFlightMax, recordBytesTarget, tickMs } = swarm;
  return {
    wal: { segmentBytes, frameBytesMax, groupsMax: 32 },
    raft: {
      tickMs,
      pauseMs: 5 * tickMs,
      appendBytesMax: frameBytesMax / 4,
      persistBytesMax: frameBytesMax / 4,
      followerPinBytesMax: swarm.followerPinBytes,
      rewriteBytesMax: swarm.rewriteBytesMax,
      promoteLagMax: 20,
      appendDeadlineTicks: swarm.appendDeadlineTicks,
      tailDeadlineTicks: swarm.appendDeadlineTicks,
      forwardWindow: swarm.forwardWindow,
      core: {
        electionTicks: swarm.electionTicks,
        heartbeatTicks: swarm.heartbeatTicks,
        messageBytesMax: swarm.messageBytesMax,
        inflightMessagesMax: swarm.messagesInFlightMax,
      },
    },
    replica: { recordsInFlightMax, recordBytesTarget },
    checkpoints: { intervalMs: swarm.checkpointIntervalMs, sliceMs: 0.05, pauseMs: 0.5 },
    snapshots: {
      chunkBytes: swarm.snapshotChunkBytes,
      windowChunks: 2,
      chunkTimeoutMs: 200,
      peerPatienceMs: swarm.peerPatienceMs,
      entriesPerSlice: 50,
    },
  };
}
