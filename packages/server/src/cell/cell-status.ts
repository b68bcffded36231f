/** The cell as one node sees it: its own log and configuration, the links it has, what the others report of themselves. */
import { type MemberId, membersOf, nodeOf } from "@quipu/consensus";
import type { CellNode } from "@quipu/cluster";
import type { CellNodeStatus, CellStatus } from "../node-status.ts";
import type { PeerAddress, PeerStatus, PeerTransport } from "../peers/peer-transport.ts";
import { standingOf } from "./cell-operations.ts";
import { formatAddress } from "./cell-settings.ts";
import type { NodeReport } from "./node-report.ts";
import { rosterOf } from "./roster.ts";

type View = NonNullable<CellNode["view"]>;

export interface CellStatusParts {
  readonly name: string;
  readonly cell: number;
  /** Peer addresses that this process was started with. */
  readonly listed: ReadonlyMap<string, PeerAddress>;
  readonly transport: PeerTransport;
  readonly node: CellNode | undefined;
  readonly view: View | undefined;
  readonly own: NodeReport | undefined;
  readonly reports: ReadonlyMap<string, NodeReport>;
  readonly waitingFor: string | undefined;
}

export function cellStatus(parts: CellStatusParts): CellStatus {
  const { name, cell, view, waitingFor } = parts;
  const nodes = nodesOf(parts);
  const agreement = parts.node?.openShard?.status.agreement;
  return {
    id: cell === 0 ? null : cell.toString(16).padStart(12, "0"),
    name,
    waitingFor: waitingFor ?? null,
    role: view?.role ?? "none",
    term: view?.term ?? 0,
    leader: nodes.find(({ isLeader }) => isLeader)?.name ?? null,
    committedPosition: String(view?.committedPosition ?? 0),
    featureLevel: agreement?.featureLevel ?? 1,
    comparedPosition: String(agreement?.comparedUpTo ?? 0),
    divergences: agreement?.divergences ?? 0,
    nodes,
  };
}

/** By the roster, where there is one; before, by what this node was started with. */
function nodesOf(parts: CellStatusParts): readonly CellNodeStatus[] {
  const { node, listed, transport } = parts;
  const roster = node === undefined ? undefined : rosterOf(node.machine);
  const links = new Map(transport.peers().map((peer) => [peer.name, peer]));
  const known =
    roster?.nodes ?? [...listed].map(([name, address]) => ({ name, address, node: links.get(name)?.node ?? 0 }));
  return known
    .map((each) => nodeStatus(parts, each, links.get(each.name)))
    .toSorted((left, right) => (left.node ?? 0) - (right.node ?? 0) || left.name.localeCompare(right.name));
}

function nodeStatus(
  parts: CellStatusParts,
  known: { readonly name: string; readonly node: number; readonly address: PeerAddress },
  link: PeerStatus | undefined,
): CellNodeStatus {
  const { view, own, reports } = parts;
  const isOwn = known.name === parts.name;
  const isReachable = isOwn || link?.reachable === true;
  const report = isOwn ? own : isReachable ? reports.get(known.name) : undefined;
  const number = known.node === 0 && isOwn ? numberOf(parts) : known.node;
  const member = memberOfNode(view, number);
  const committed = Math.max(
    view?.committedPosition ?? 0,
    ...[...reports.values()].map((each) => each.committedPosition),
  );
  return {
    name: known.name,
    node: number === 0 ? null : number,
    member: member ?? null,
    address: formatAddress(known.address),
    standing: view === undefined ? "none" : standingOf(view.configuration, member),
    isLeader: member !== undefined && view?.leader === member,
    isReachable,
    isReady: report?.ready ?? false,
    phase: report?.phase ?? null,
    version: report?.version ?? null,
    appliedPosition: report === undefined ? null : String(report.appliedPosition),
    lag: report === undefined ? null : Math.max(0, committed - report.committedPosition),
    roundTripMs: link?.roundTripMs ?? null,
    resp: report?.resp ?? null,
    http: report?.http ?? null,
    problem: isOwn ? null : (link?.problem ?? null),
  };
}

function numberOf({ node }: CellStatusParts): number {
  return node === undefined ? 0 : nodeOf(node.member);
}

/** While a member is being replaced there are two of one node: the one that votes, or the last. */
function memberOfNode(view: View | undefined, node: number): MemberId | undefined {
  if (view === undefined) return undefined;
  const { configuration } = view;
  const own = (member: MemberId): boolean => nodeOf(member) === node;
  return configuration.voters.find(own) ?? membersOf(configuration).findLast(own);
}
