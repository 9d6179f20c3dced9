/** Describes an archive: the image it belongs to, and the mounts that the request must have. */
import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import type { CheckpointFacts } from '../../../../ports/checkpoint.ts';
import { jsonObject } from '../../../../base/json-object.ts';
import { checkpointLimits } from '../../bounds.ts';
import { portLimits } from '../../../../ports/bounds.ts';
import { FILES } from '../../../documents/checkpoint-documents.ts';
import { readMembers, refuseArchive } from './members.ts';
import type { Taker } from './members.ts';
import type { ArchiveSource } from './protocol.ts';

/** The texts of config.dump and spec.dump. */
export interface CheckpointDescriptions {
  readonly config: string;
  readonly spec: string;
}

/** Reads the archive only until both descriptions are found. */
export async function readCheckpointFacts(source: ArchiveSource): Promise<CheckpointFacts> {
  const texts = new Map<string, string>();
  const taker: Taker = {
    get isDone() {
      return texts.has(FILES.config) && texts.has(FILES.spec);
    },
    document: (name, text) => void texts.set(name, text),
    file: () => undefined,
  };
  await readMembers(source, taker);
  return factsOf(descriptionsIn(texts));
}

/** Throws `invalidRequest` when one is missing. */
export function descriptionsIn(texts: ReadonlyMap<string, string>): CheckpointDescriptions {
  const text = (name: string): string => texts.get(name) ?? refuseArchive(`no ${name} in the archive`);
  return { config: text(FILES.config), spec: text(FILES.spec) };
}

export function digestOf({ config, spec }: CheckpointDescriptions): string {
  return `sha256:${createHash('sha256').update(config).update('\0').update(spec).digest('hex')}`;
}

/**
 * The facts that are used; the rest is not trusted, and the runtime's configuration is generated from the request
 * (S08).
 */
export function factsOf(descriptions: CheckpointDescriptions): CheckpointFacts {
  const config = jsonObject(descriptions.config) ?? refuseArchive(`${FILES.config} is not a JSON object`);
  const spec = jsonObject(descriptions.spec) ?? refuseArchive(`${FILES.spec} is not a JSON object`);
  // containerd and CRI-O write the image's id, or a repository with a digest, as the reference
  const images = [config['rootfsImageRef'], config['rootfsImageName'], config['rootfsImage']].filter(isName);
  if (images.length === 0) refuseArchive(`${FILES.config} names no image`);
  return {
    digest: digestOf(descriptions),
    images: [...new Set(images)],
    mounts: mountsOf(spec['mounts']),
    tty: member(spec['process'], 'terminal') === true,
  };
}

// eslint-disable-next-line no-control-regex -- a name with control characters is refused
const CONTROL = /[\u0000-\u001f\u007f]/u;

function isName(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value !== '' &&
    value.length <= portLimits.imageNameBytes &&
    !CONTROL.test(value)
  );
}

function mountsOf(value: unknown): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length > checkpointLimits.describedMounts)
    return refuseArchive(`${FILES.spec} has an invalid or too long list of mounts`);
  const found = value.filter(isBind).map((mount) => {
    const destination = member(mount, 'destination');
    if (
      typeof destination !== 'string' ||
      !destination.startsWith('/') ||
      destination.length > portLimits.pathBytes
    )
      refuseArchive(`${FILES.spec} has a mount without an absolute destination`);
    return posix.normalize(destination).replace(/(?<=.)\/$/u, '');
  });
  return [...new Set(found)];
}

function isBind(mount: unknown): boolean {
  const options = member(mount, 'options');
  return (
    member(mount, 'type') === 'bind' ||
    (Array.isArray(options) && options.some((option) => option === 'bind' || option === 'rbind'))
  );
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null
    ? Object.getOwnPropertyDescriptor(value, key)?.value
    : undefined;
}
