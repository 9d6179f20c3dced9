/** The ledger: the current facts, folded from the journal's records. Pure; used by journal, recovery and catalog. */
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
  SandboxStopped,
  SandboxStopping,
} from '../../ports/journal.ts';
import { mergedImage, ownFacts, withoutTags } from './sources.ts';
import type { ImageRecord, Resources } from '../../ports/specs.ts';
import { withoutSecrets } from '../effects/recorded.ts';

export interface SandboxFacts {
  readonly intent: SandboxIntent;
  readonly ready: SandboxReady | undefined;
  /** Stop was begun; `stopped` says whether it ended. */
  readonly stopping: boolean;
  readonly stopped: boolean;
  /** Its removal was begun with its stop. */
  readonly removal: boolean;
  /** Steps whose undo had failed when the sandbox was stopped: their cleanup is pending. */
  readonly owed: readonly string[];
}

export interface ContainerFacts {
  readonly intent: ContainerIntent;
  readonly created: ContainerCreated | undefined;
  readonly startedAtNs: bigint | undefined;
  /** A stop that is under way. */
  readonly stopping: ContainerStopping | undefined;
  readonly exited: ContainerExited | undefined;
  /** The limits in force, where they differ from those of the intent; else undefined. */
  readonly resources: Resources | undefined;
  /** An update whose begin is recorded and whose end is not. */
  readonly updating: ContainerUpdating | undefined;
}

export interface Ledger {
  readonly sandboxes: Map<SandboxId, SandboxFacts>;
  readonly containers: Map<ContainerId, ContainerFacts>;
  readonly images: Map<ImageId, ImageRecord>;
  /** Pulls that are under way or were interrupted, by `fetchingKey`. */
  readonly fetching: Map<string, ImageFetching>;
}

/** An empty ledger. */
export function emptyLedger(): Ledger {
  return { sandboxes: new Map(), containers: new Map(), images: new Map(), fetching: new Map() };
}

/**
 * The fold that the journal is opened with. Records about unknown ids are ignored: their intent was lost or removed.
 */
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
        removal: false,
        owed: [],
      });
      break;
    case 'sandbox.ready':
      change(record.id, { ready: record });
      break;
    case 'sandbox.stopping':
      change(record.id, { stopping: true, ...withRemoval(record) });
      break;
    case 'sandbox.stopped':
      change(record.id, { stopping: true, stopped: true, owed: record.owed, ...withRemoval(record) });
      break;
    case 'sandbox.removed':
      ledger.sandboxes.delete(record.id);
      break;
    default:
      break;
  }
}

/** A removal is never taken back: a later record of a stop does not say it again. */
function withRemoval({ removal = false }: SandboxStopping | SandboxStopped): Partial<SandboxFacts> {
  return removal ? { removal } : {};
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

/** A container restored from a checkpoint gets its process at its start, not at its creation. */
function withInit(
  created: ContainerCreated | undefined,
  { init }: ContainerStarted,
): Pick<ContainerFacts, 'created'> | undefined {
  return created === undefined || init === undefined ? undefined : { created: { ...created, init } };
}

/** Applies an image record. A pull adds its names to a present image; a tag that moves is taken from its old image. */
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
 * Identifies a pull by image, manifest and namespace. Two manifests of one image may name different blobs, so the end
 * of one pull must not end the other (S86). Nor may one namespace's pull end, or count against, what another has
 * fetched (S90).
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
    const removal = facts.removal ? { removal: true } : {};
    if (facts.stopped) records.push({ type: 'sandbox.stopped', id, owed: facts.owed, ...removal });
    else if (facts.stopping) records.push({ type: 'sandbox.stopping', id, ...removal });
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

/**
 * Whether a record may use the disk space that the journal reserves. Records that commit something new may not: the
 * actor undoes what it could not commit. Records of starts may, since a start cannot be undone and needs a created
 * container, which bounds their number.
 */
function mayUseReserve(ledger: Ledger, record: JournalRecord): boolean {
  switch (record.type) {
    // an intent written a second time takes back a commit that no client wants
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
