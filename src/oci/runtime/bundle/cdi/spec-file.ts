/** One file of the Container Device Interface (CDI specification 1.1.0), JSON or YAML. */
import { nodeFileLimits } from '../../../bounds.ts';
import { parseDocument, type Fields } from '../../../documents/fields.ts';
import { parseYaml } from '../../../documents/yaml-fields.ts';
import type { CdiEdits } from './edits.ts';
import { isEmpty, parseEdits } from './edits.ts';

export interface CdiSpec {
  /** `vendor.com/class`. */
  readonly kind: string;
  /** Applied if any of the devices is requested. */
  readonly edits: CdiEdits;
  readonly devices: ReadonlyMap<string, CdiEdits>;
}

/** Oldest first (the specification's table of released versions). */
const VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.4.0', '0.5.0', '0.6.0', '0.7.0', '0.8.0', '1.0.0', '1.1.0'];

/** vendor/class of at most 253 and 63 characters; letters and digits, with `_`, `-` and `.` between them. */
const KIND =
  /^([A-Za-z](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?)\/([A-Za-z](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)$/u;
const DEVICE = /^[A-Za-z0-9](?:[A-Za-z0-9_.:-]{0,251}[A-Za-z0-9])?$/u;

/**
 * Parses a CDI file; every message names `path`. Throws `outside` with the field, also for an unknown one: what a
 * newer version defines by it would be missing in the container.
 */
export async function parseCdiFile(path: string, bytes: Uint8Array): Promise<CdiSpec> {
  const what = `CDI file ${path}`;
  const top = path.endsWith('.json') ? parseDocument(bytes, what) : await parseYaml(bytes, what);
  top.refuseOthers(['cdiVersion', 'kind', 'annotations', 'devices', 'containerEdits']);
  const version = top.text('cdiVersion', '').replace(/^v/u, '');
  if (!VERSIONS.includes(version)) top.refuse('cdiVersion', `is not one of ${VERSIONS.join(', ')}`);
  const needs = (least: string, feature: string): void => {
    if (VERSIONS.indexOf(version) < VERSIONS.indexOf(least))
      top.refuse('cdiVersion', `is ${version}, but ${feature} requires ${least}`);
  };
  const kind = top.text('kind', '');
  const match = KIND.exec(kind);
  if (match === null) top.refuse('kind', 'is not of the form vendor.com/class');
  if (match?.[2]?.includes('.') === true) needs('0.6.0', 'a dot in the class');
  annotations(top, needs);
  return { kind, edits: parseEdits(top.object('containerEdits'), needs), devices: devices(top, needs) };
}

function annotations(fields: Fields, needs: (version: string, what: string) => void): void {
  if (Object.keys(fields.textMap('annotations')).length > 0) needs('0.6.0', 'annotations');
}

function devices(top: Fields, needs: (version: string, what: string) => void): ReadonlyMap<string, CdiEdits> {
  const found = new Map<string, CdiEdits>();
  for (const device of top.objects('devices', nodeFileLimits.entries)) {
    device.refuseOthers(['name', 'annotations', 'containerEdits']);
    const name = device.text('name', '');
    if (!DEVICE.test(name)) device.refuse('name', 'is not a device name');
    if (/^[0-9]/u.test(name)) needs('0.5.0', 'a device whose name begins with a digit');
    if (found.has(name)) device.refuse('name', `${name} is defined twice`);
    annotations(device, needs);
    const edits = parseEdits(device.object('containerEdits'), needs);
    if (isEmpty(edits)) device.refuse('containerEdits', 'is empty');
    found.set(name, edits);
  }
  if (found.size === 0) top.refuse('devices', 'is empty');
  return found;
}
