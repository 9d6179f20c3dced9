/**
 * Parses the image config (image spec: config.md; Docker's image spec v1.2 has the same shape). Every value that
 * becomes part of a container is checked here, so that later code needs no checks of its own.
 */
import { fail } from '../../../base/fault.ts';
import type { Digest } from '../../../base/ids.ts';
import { imageLimits } from '../../bounds.ts';
import type { ImageConfig } from '../../../ports/specs.ts';
import { parseDocument, type Fields } from '../../documents/fields.ts';
import { parseImageUser } from '../../documents/image-user.ts';
import { usualNames } from './platform.ts';

/** The parsed config, with the fields that only a pull needs. */
export interface ParsedImageConfig extends ImageConfig {
  readonly variant: string;
  /** As the builder wrote them; informational only. */
  readonly exposedPorts: readonly string[];
  /** RFC 3339 as written, or empty. */
  readonly created: string;
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly Digest[];
}

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
 * @param what start of every message, such as `config sha256:…`
 * @throws FaultError `outside`, naming the field
 */
export function parseImageConfig(bytes: Uint8Array, what: string): ParsedImageConfig {
  const top: Fields = parseDocument(bytes, what);
  top.refuseLookalikes(TOP_KEYS);
  // an artifact's id is the digest of its manifest; a document that is config and manifest would give two images one id
  if (top.has('schemaVersion'))
    top.refuse('schemaVersion', 'is not allowed in a config: the document is ambiguous');
  const rootfs = top.object('rootfs');
  if (rootfs === undefined) top.refuse('rootfs', 'is missing');
  // "layers" is the only type; like the peers, assume it when the field is missing
  if (rootfs.text('type', 'layers') !== 'layers') rootfs.refuse('type', 'is not "layers"');
  const diffIds = rootfs.digests('diff_ids', imageLimits.layers);
  if (diffIds.length === 0) rootfs.refuse('diff_ids', 'is empty');
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

/** A config for an artifact, which has none of its own. It has these layers and no command to run. */
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

/** Refuses an entry without a name or `=`: runc refuses such a spec, and one of the peers crashes on it. */
function readEnv(run: Fields): readonly string[] {
  const entries = run.texts('Env');
  for (const [index, entry] of entries.entries()) {
    if (entry.indexOf('=') < 1) run.refuse(`Env[${index}]`, 'is not NAME=value');
  }
  return entries;
}

/** Refuses a relative path: runc accepts only absolute ones, and Docker's builder writes only those. */
function readWorkingDir(run: Fields): string {
  const text = run.text('WorkingDir', '', imageLimits.pathBytes);
  if (text !== '' && !text.startsWith('/')) run.refuse('WorkingDir', 'is not an absolute path');
  return text;
}

/** Checks the syntax only. Code that sends the signal checks that it exists. */
function readStopSignal(run: Fields): string {
  const text = run.text('StopSignal', '', 32);
  if (text !== '' && !/^[A-Za-z0-9]+(?:[+-][0-9]+)?$/u.test(text))
    run.refuse('StopSignal', 'is not a signal');
  return text;
}

/** Makes paths absolute and removes `.`, `..` and double slashes. `..` at the top stays at the top, as in a chroot. */
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

/** Refuses a config with more or fewer layers than the manifest: some diff-ids would stay unchecked. */
export function checkLayerCount(config: ParsedImageConfig, layers: number, what: string): void {
  if (config.diffIds.length !== layers) {
    fail('outside', `${what}: rootfs.diff_ids lists ${config.diffIds.length} layers, the manifest ${layers}`);
  }
}
