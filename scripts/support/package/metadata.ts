// What both kinds of package say of themselves.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from '../checkout.ts';

const manifest = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as {
  readonly version: string;
  readonly description: string;
  readonly license: string;
};

export const VERSION_OF_CHECKOUT = manifest.version;
export const SUMMARY = manifest.description;
export const LICENSE = manifest.license;
/** A package must name a maintainer with an address; this one does not exist (RFC 2606). */
export const MAINTAINER = 'The developers of troupe <nobody@troupe.invalid>';

export const DESCRIPTION: readonly string[] = [
  'It serves the CRI to the kubelet and runs containers by runc or crun, conmon and CNI plugins.',
  'Each pod and each container is an actor with a statechart, so that one sees at any moment what a',
  'pod waits for. The daemon can be restarted and upgraded while its pods run.',
  'The package brings the Node.js that it runs with; nothing is fetched at the installation.',
];

/** `1.0.0-rc.1` comes before `1.0.0`; package managers need a tilde for that. */
export const packageVersion = (version: string): string => version.replace('-', '~');

/** A script of deploy/packages. */
export const scriptlet = (name: string): string =>
  readFileSync(join(checkout, 'deploy/packages', name), 'utf8');
