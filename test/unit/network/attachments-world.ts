// A network of three plugins, and the attachment of a sandbox to it.
import { join } from 'node:path';
import type { Attachment } from '../../../src/network/attachment-cache.ts';
import { AttachmentCache } from '../../../src/network/attachment-cache.ts';
import { Attachments } from '../../../src/network/attachments.ts';
import type { Network } from '../../../src/network/conflist.ts';
import { parseList } from '../../../src/network/conflist.ts';
import { Firewall } from '../../../src/network/firewall.ts';
import type { Answer, FakePlugins, Seen } from './fake-plugins.ts';
import { result, sandboxId } from './fake-plugins.ts';

export const id = sandboxId('b');
export const context = { timeoutMs: 60_000 };
export const netns = '/run/netns/x';
export const inNetns = async (): Promise<string> => netns;
export const noGuess = (): never => {
  throw new Error('nothing to guess');
};

export function network(extra: object = {}): Network {
  const list = {
    cniVersion: '1.0.0',
    name: 'net',
    plugins: [{ type: 'one' }, { type: 'two', capabilities: { portMappings: true } }, { type: 'three' }],
    ...extra,
  };
  const parsed = parseList(JSON.stringify(list));
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.network;
}

export interface World {
  readonly attachments: Attachments;
  readonly cache: AttachmentCache;
  readonly cacheDir: string;
  readonly attachment: Attachment;
}

/** Installs the plugins of the network and makes an attachment of the sandbox to it. */
export function worldOf(plugins: FakePlugins, net: Network): World {
  plugins.install('one', 'two', 'three', 'portmap');
  const cacheDir = join(plugins.dir, 'cache');
  const cache = new AttachmentCache(cacheDir);
  const attachment: Attachment = {
    id,
    ifName: 'eth0',
    network: net,
    pluginDirs: [plugins.dir],
    cniArgs: 'IgnoreUnknown=1',
    runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80, protocol: 'tcp' }] },
  };
  // no iptables there: the chains of these networks make no rules
  return {
    attachments: new Attachments(plugins.runTool, cache, new Firewall(plugins.runTool, [])),
    cache,
    cacheDir,
    attachment,
  };
}

export const good = ({ command, tool }: Seen): Answer =>
  command === 'ADD' ? { stdout: result('10.0.0.5', { by: tool }) } : {};
