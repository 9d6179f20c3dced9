/** Archives of checkpoints for tests: whole ones, and with whatever a test puts in the place of a part. */
import { archive, entry } from '../../unit/oci/layers/tar-builder.ts';

/** What a core image of this machine begins with: two magics, a size, the machine's type. */
export function coreImage(type = process.arch === 'arm64' ? 3 : 1): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt32LE(0x54564319, 0);
  head.writeUInt32LE(0x55053847, 4);
  head.writeUInt32LE(4, 8);
  head.set([0x08, type, 0x10, 0x00], 12);
  return head;
}

export const CONFIG = {
  id: 'c'.repeat(64),
  name: 'main',
  rootfsImageRef: `sha256:${'1'.repeat(64)}`,
  rootfsImageName: 'docker.io/library/busybox@sha256:2',
  rootfsImage: 'busybox',
};
export const SPEC = {
  process: { terminal: false },
  mounts: [
    { destination: '/proc', type: 'proc', source: 'proc' },
    { destination: '/etc/hosts', type: 'bind', source: '/var/lib/kubelet/hosts' },
    { destination: '/data/', type: 'bind', source: '/srv/data', options: ['rbind'] },
    { destination: '/cache', type: 'none', source: '/srv/cache', options: ['bind', 'ro'] },
  ],
};

/** Members by name; `null` leaves one of the usual ones out. */
export type Parts = Readonly<Record<string, string | Buffer | null>>;

export function members(parts: Parts = {}): Readonly<Record<string, string | Buffer>> {
  const usual: Parts = {
    'config.dump': JSON.stringify(CONFIG),
    'spec.dump': JSON.stringify(SPEC),
    'checkpoint/inventory.img': 'inventory',
    'checkpoint/core-1.img': coreImage(),
    'bind.mounts': '[{"source":"/etc/shadow","destination":"/x","file_type":"file"}]',
    'network.status': '{}',
  };
  return Object.fromEntries(
    Object.entries({ ...usual, ...parts }).filter(
      (part): part is [string, string | Buffer] => part[1] !== null,
    ),
  );
}

/** A tar of these; `more` are entries of any kind behind them. */
export function checkpointTar(parts: Parts = {}, ...more: readonly Buffer[]): Buffer {
  const files = Object.entries(members(parts)).map(([name, body]) => entry({ name, body }));
  return archive(entry({ name: 'checkpoint/', flag: '5', mode: 0o755 }), ...files, ...more);
}
