/** What the journal's records add up to: the facts that stand now. Pure folding, shared by journal, recovery and catalog. */
import { unreachable } from '../../base/assert.ts';
import type { ContainerId, ImageId, SandboxId } from '../../base/ids.ts';
import type {
  ContainerCreated,
  ContainerExited,
  ContainerIntent,
  ContainerStarted,
  ContainerStopping,
  ContainerUpdating,
  ImageFetching,
  JournalFold,
  JournalRecord,
  SandboxIntent,
  SandboxReady,
} from '../../ports/journal.ts';
import { mergedImage, ownFacts, withoutTags } from './sources.ts';
import type { ImageRecord, Resources } from '../../ports/specs.ts';
import { withoutSecrets } from '../effects/recorded.ts';

export interface SandboxFacts {
  readonly intent: SandboxIntent;
  readonly ready: SandboxReady | undefined;
  /** Stop was begun; `stopped` tells whether it ended. */
  readonly stopping: boolean;
  readonly stopped: boolean;
  /** Steps whose undo had failed when it was stopped. */
  readonly owed: readonly string[];
}

export interface ContainerFacts {
  readonly intent: ContainerIntent;
  readonly created: ContainerCreated | undefined;
  readonly startedAtNs: bigint | undefined;
  /** A stop that is under way. */
  readonly stopping: ContainerStopping | undefined;
  readonly exited: ContainerExited | undefined;
  /** Limits that an update has set; undefined while those of the intent stand. */
  readonly resources: Resources | undefined;
  /** An update that was begun and whose end is not recorded. */
  readonly updating: ContainerUpdating | undefined;
}

export interface Ledger {
  readonly sandboxes: Map<SandboxId, SandboxFacts>;
  readonly containers: Map<ContainerId, ContainerFacts>;
  readonly images: Map<ImageId, ImageRecord>;
  /** Pulls that were begun and have come to no end: under way, or interrupted; by `fetchingKey`. */
  readonly fetching: Map<string, ImageFetching>;
}

/** An empty ledger. */
export function emptyLedger(): Ledger {
  return { sandboxes: new Map(), containers: new Map(), images: new Map(), fetching: new Map() };
}

/** The fold that the journal is opened with. Records about unknown ids change nothing: their intent was cut off or removed. */
export const ledgerFold: JournalFold<Ledger> = {
  empty: emptyLedger,
  apply: applyRecord,
  records: ledgerRecords,
  withoutSecrets,
  mayUseReserve,
};

function applyRecord(ledger: Ledger, read: JournalRecord): void {
  const record = withoutSecrets(read);
  if (record.type.startsWith('sandbox.')) applySandbox(ledger, record);
  else if (record.type.startsWith('container.')) applyContainer(ledger, record);
  else applyImage(ledger, record);
}

function applySandbox(ledger: Ledger, record: JournalRecord): void {
  const change = (id: SandboxId, part: Partial<SandboxFacts>): void => {
    const old = ledger.sandboxes.get(id);
    if (old !== undefined) ledger.sandboxes.set(id, { ...old, ...part });
  };
  switch (record.type) {
    case 'sandbox.intent':
      ledger.sandboxes.set(record.id, {
        intent: record,
        ready: undefined,
        stopping: false,
        stopped: false,
        owed: [],
      });
      break;
    case 'sandbox.ready':
      change(record.id, { ready: record });
      break;
    case 'sandbox.stopping':
      change(record.id, { stopping: true });
      break;
    case 'sandbox.stopped':
      change(record.id, { stopping: true, stopped: true, owed: record.owed });
      break;
    case 'sandbox.removed':
      ledger.sandboxes.delete(record.id);
      break;
    default:
      break;
  }
}

function applyContainer(ledger: Ledger, record: JournalRecord): void {
  const change = (id: ContainerId, part: Partial<ContainerFacts>): void => {
    const old = ledger.containers.get(id);
    if (old !== undefined) ledger.containers.set(id, { ...old, ...part });
  };
  switch (record.type) {
    case 'container.intent':
      ledger.containers.set(record.id, {
        intent: record,
        created: undefined,
        startedAtNs: undefined,
        stopping: undefined,
        exited: undefined,
        resources: undefined,
        updating: undefined,
      });
      break;
    case 'container.created':
      change(record.id, { created: record, resources: record.effective.limits });
      break;
    case 'container.started':
      change(record.id, {
        startedAtNs: record.startedAtNs,
        ...withInit(ledger.containers.get(record.id)?.created, record),
      });
      break;
    case 'container.stopping':
      change(record.id, { stopping: record });
      break;
    case 'container.updating':
      change(record.id, { updating: record });
      break;
    case 'container.updated':
      change(record.id, { resources: record.resources, updating: undefined });
      break;
    case 'container.exited':
      change(record.id, { exited: record, startedAtNs: record.startedAtNs });
      break;
    case 'container.removed':
      ledger.containers.delete(record.id);
      break;
    default:
      break;
  }
}

/** One that was restored has its process since its start. */
function withInit(
  created: ContainerCreated | undefined,
  { init }: ContainerStarted,
): Pick<ContainerFacts, 'created'> | undefined {
  return created === undefined || init === undefined ? undefined : { created: { ...created, init } };
}

/** Names are merged into an image that is here; a tag that moves leaves the image that had it. */
function applyImage(ledger: Ledger, record: JournalRecord): void {
  if (record.type === 'image.fetching') ledger.fetching.set(fetchingKey(record), record);
  if (record.type === 'image.givenUp' && record.source !== undefined)
    ledger.fetching.delete(fetchingKey(record));
  else if (record.type === 'image.givenUp' || record.type === 'image.removed') endFetching(ledger, record.id);
  if (record.type === 'image.removed') ledger.images.delete(record.id);
  if (record.type !== 'image.present') return;
  const image = ownFacts(record.image);
  endFetching(ledger, image.id);
  const taken = new Set(image.repoTags);
  for (const other of ledger.images.values()) {
    if (other.id === image.id || !other.repoTags.some((tag) => taken.has(tag))) continue;
    ledger.images.set(other.id, withoutTags(other, taken));
  }
  ledger.images.set(image.id, mergedImage(ledger.images.get(image.id), image));
}

/**
 * A pull by what it fetches and for whom: two manifests of one image have blobs of their own, and one's end is not the
 * other's (S86); nor does one namespace's end, or its share, decide over what another has fetched (S90).
 */
export function fetchingKey({
  id,
  source,
  namespace = '',
}: Pick<ImageFetching, 'id' | 'source' | 'namespace'>): string {
  return `${id} ${source ?? ''} ${namespace}`;
}

function endFetching(ledger: Ledger, id: ImageId): void {
  for (const [key, fetching] of ledger.fetching) if (fetching.id === id) ledger.fetching.delete(key);
}

function ledgerRecords(ledger: Ledger): readonly JournalRecord[] {
  const records: JournalRecord[] = [];
  for (const image of ledger.images.values()) records.push({ type: 'image.present', image });
  records.push(...ledger.fetching.values());
  for (const facts of ledger.sandboxes.values()) {
    const { id } = facts.intent;
    records.push(facts.intent);
    if (facts.ready !== undefined) records.push(facts.ready);
    if (facts.stopped) records.push({ type: 'sandbox.stopped', id, owed: facts.owed });
    else if (facts.stopping) records.push({ type: 'sandbox.stopping', id });
  }
  for (const facts of ledger.containers.values()) {
    const { id } = facts.intent;
    records.push(facts.intent);
    if (facts.created !== undefined) records.push(facts.created);
    if (facts.startedAtNs !== undefined) {
      records.push({ type: 'container.started', id, startedAtNs: facts.startedAtNs });
    }
    if (facts.resources !== undefined)
      records.push({ type: 'container.updated', id, resources: facts.resources });
    if (facts.updating !== undefined) records.push(facts.updating);
    if (facts.stopping !== undefined) records.push(facts.stopping);
    if (facts.exited !== undefined) records.push(facts.exited);
  }
  return records;
}

/** Of each record; a commit that is refused is undone. The started are no more than what was created, and can't be. */
function mayUseReserve(ledger: Ledger, record: JournalRecord): boolean {
  switch (record.type) {
    // once more, it takes back a commit that nobody wants
    case 'sandbox.intent':
      return ledger.sandboxes.has(record.id);
    case 'container.intent':
      return ledger.containers.has(record.id);
    case 'sandbox.ready':
    case 'container.created':
    case 'container.updating':
    case 'image.fetching':
    case 'image.present':
      return false;
    case 'container.started':
    case 'container.stopping':
    case 'container.updated':
    case 'container.exited':
    case 'container.removed':
    case 'sandbox.stopping':
    case 'sandbox.stopped':
    case 'sandbox.removed':
    case 'image.givenUp':
    case 'image.removed':
      return true;
    default:
      return unreachable(record);
  }
}
