/**
 * The image config (image spec: config.md; Docker's image spec v1.2 has the same shape). Everything that later becomes
 * part of a container is checked here, so that no later code meets a value that it cannot hold.
 */
import { fail } from '../../../base/fault.ts';
import type { Digest } from '../../../base/ids.ts';
import { imageLimits } from '../../bounds.ts';
import type { ImageConfig } from '../../../ports/specs.ts';
import { parseDocument, type Fields } from '../../documents/fields.ts';
import { parseImageUser } from '../../documents/image-user.ts';
import { usualNames } from './platform.ts';

/** The parsed config with what only the puller needs. */
export interface ParsedImageConfig extends ImageConfig {
  readonly variant: string;
  /** As written by the builder; for people only. */
  readonly exposedPorts: readonly string[];
  /** RFC 3339 as written, or empty. */
  readonly created: string;
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly Digest[];
}

/** `USER` of an image: numbers where it has numbers, names to be looked up in the image otherwise. */
const TOP_KEYS = ['architecture', 'os', 'variant', 'created', 'config', 'rootfs'];
const CONFIG_KEYS = [
  'User',
  'Env',
  'Entrypoint',
  'Cmd',
  'WorkingDir',
  'StopSignal',
  'Volumes',
  'Labels',
  'ExposedPorts',
];

/**
 * @param what first words of every message, such as `config sha256:…`
 * @throws FaultError `outside` that names the field
 */
export function parseImageConfig(bytes: Uint8Array, what: string): ParsedImageConfig {
  const top: Fields = parseDocument(bytes, what);
  top.refuseLookalikes(TOP_KEYS);
  // an artifact's id is the digest of its manifest, so that a config which is one, too, would be two images with one id
  if (top.has('schemaVersion'))
    top.refuse('schemaVersion', 'stands in a config: the document is two things at once');
  const rootfs = top.object('rootfs');
  if (rootfs === undefined) top.refuse('rootfs', 'is missing');
  // the one there is; of a file that does not say it the peers think no other
  if (rootfs.text('type', 'layers') !== 'layers') rootfs.refuse('type', 'is not "layers"');
  const diffIds = rootfs.digests('diff_ids', imageLimits.layers);
  if (diffIds.length === 0) rootfs.refuse('diff_ids', 'names no layer');
  const run = top.object('config');
  run?.refuseLookalikes(CONFIG_KEYS);
  return Object.freeze({
    ...usualNames({ os: top.text('os', '', 64), architecture: top.text('architecture', '', 64) }),
    variant: top.text('variant', '', 64).toLowerCase(),
    created: top.text('created', '', 64),
    diffIds: Object.freeze(diffIds),
    user: run === undefined ? '' : readUser(run),
    env: Object.freeze(run === undefined ? [] : readEnv(run)),
    entrypoint: Object.freeze(run?.texts('Entrypoint') ?? []),
    cmd: Object.freeze(run?.texts('Cmd') ?? []),
    workingDir: run === undefined ? '' : readWorkingDir(run),
    stopSignal: run === undefined ? '' : readStopSignal(run),
    volumes: Object.freeze(run === undefined ? [] : readVolumes(run)),
    labels: run?.textMap('Labels') ?? Object.freeze(Object.create(null) as Record<string, string>),
    exposedPorts: Object.freeze(run?.keys('ExposedPorts') ?? []),
  });
}

/** The config of a thing that has none, whose layers have these ids: an artifact's. Nothing can be run of it. */
export function emptyImageConfig(diffIds: readonly Digest[]): ParsedImageConfig {
  return Object.freeze({
    os: '',
    architecture: '',
    variant: '',
    created: '',
    user: '',
    workingDir: '',
    stopSignal: '',
    env: [],
    entrypoint: [],
    cmd: [],
    volumes: [],
    exposedPorts: [],
    labels: Object.freeze(Object.create(null) as Record<string, string>),
    diffIds: Object.freeze(diffIds),
  });
}

function readUser(run: Fields): string {
  const text = run.text('User', '', 256);
  if (parseImageUser(text) === undefined)
    run.refuse('User', `is ${JSON.stringify(text)}, not a user and group`);
  return text;
}

/** An entry without a name or `=` is refused: runc refuses the spec, and one peer's daemon dies of it. */
function readEnv(run: Fields): readonly string[] {
  const entries = run.texts('Env');
  for (const [index, entry] of entries.entries()) {
    if (entry.indexOf('=') < 1) run.refuse(`Env[${index}]`, 'is not NAME=value');
  }
  return entries;
}

/** runc takes absolute paths only; Docker's builder writes no others. */
function readWorkingDir(run: Fields): string {
  const text = run.text('WorkingDir', '', imageLimits.pathBytes);
  if (text !== '' && !text.startsWith('/')) run.refuse('WorkingDir', 'is not an absolute path');
  return text;
}

/** The form only: whether the kernel knows the signal is decided where it is sent. */
function readStopSignal(run: Fields): string {
  const text = run.text('StopSignal', '', 32);
  if (text !== '' && !/^[A-Za-z0-9]+(?:[+-][0-9]+)?$/u.test(text))
    run.refuse('StopSignal', 'is not a signal');
  return text;
}

/** Absolute, without `.`, `..` and double slashes: `..` at the top stays at the top, as in a chroot. */
function readVolumes(run: Fields): readonly string[] {
  const cleaned = run.keys('Volumes').map((path) => {
    const parts: string[] = [];
    for (const part of path.split('/')) {
      if (part === '..') parts.pop();
      else if (part !== '' && part !== '.') parts.push(part);
    }
    if (parts.length === 0)
      run.refuse('Volumes', `names ${JSON.stringify(path)}, which is the root directory`);
    return `/${parts.join('/')}`;
  });
  return [...new Set(cleaned)].toSorted();
}

/** Refuses a config whose layers are not as many as the manifest's: a diff-id would be left unchecked. */
export function checkLayerCount(config: ParsedImageConfig, layers: number, what: string): void {
  if (config.diffIds.length !== layers) {
    fail('outside', `${what}: rootfs.diff_ids names ${config.diffIds.length} layers, the manifest ${layers}`);
  }
}
