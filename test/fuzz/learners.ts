/**
 * The targets of learning runs: which sources each covers, and its bounds. A target's file is loaded in its own
 * process.
 */
import type { Learner, Stage, Target } from './target.ts';

export interface LearnerEntry {
  /** Files, and folders with a slash at the end: what is instrumented, and what the figures of coverage are of. */
  readonly sources: readonly string[];
  /** Longest input. */
  readonly maxBytes: number;
  /** MiB of resident memory above which the process counts as without bounds. */
  readonly rssMiB: number;
  /** Executions of the short form in `npm test`: one to three seconds. */
  readonly short: number;
  load(): Promise<Learner>;
}

const KIB = 1024;
const signature = (...names: readonly string[]): string[] =>
  names.map((name) => `src/oci/images/signature/${name}.ts`);

/** A target of the blind form, driven in one process; it begins with that form's corpus. */
async function staged(target: Target): Promise<Learner> {
  const { corpusOf } = await import('./cases.ts');
  const stage: Stage = await target.open();
  return {
    seeds: () => corpusOf(target.name),
    make: (random, corpus) => target.make(random, corpus),
    run: (input) => stage.run(input),
  };
}

const parsersOf = (folder: string, ...names: readonly string[]): string[] =>
  names.map((name) => `src/${folder}/${name}.ts`);
const json = parsersOf('oci/documents', 'fields', 'strict-json');

export const learners = {
  signatures: {
    sources: signature(
      'der',
      'certificates',
      'rekor',
      'sigstore',
      'keys',
      'payload',
      'attachments',
      'base64',
      'armor',
      'gpgv-status',
    ),
    maxBytes: 16 * KIB,
    rssMiB: 900,
    short: 2500,
    load: async () => (await import('./targets/signatures.ts')).signaturesLearner,
  },
  tar: {
    sources: parsersOf(
      'oci/layers',
      'tar-reader',
      'tar-header',
      'tar-entry',
      'tar-pax',
      'tar-sparse',
      'unpack-path',
      'unpack-stream',
      'unpack-zstd',
    ),
    maxBytes: 32 * KIB,
    rssMiB: 900,
    short: 1500,
    load: async () => (await import('./targets/tar.ts')).tarLearner,
  },
  manifest: {
    sources: [
      ...parsersOf('oci/images/model', 'manifest', 'image-config', 'schema1', 'artifact', 'platform'),
      ...parsersOf('oci/documents', 'go-json'),
      ...json,
    ],
    maxBytes: 64 * KIB,
    rssMiB: 900,
    short: 2500,
    load: async () => staged((await import('./targets/manifest.ts')).manifestTarget),
  },
  reference: {
    sources: [
      ...parsersOf('oci/images/model', 'reference'),
      ...parsersOf('oci/images/registry', 'endpoints'),
    ],
    maxBytes: 8 * KIB,
    rssMiB: 900,
    short: 4000,
    load: async () => staged((await import('./targets/reference.ts')).referenceTarget),
  },
  registry: {
    sources: parsersOf(
      'oci/images/registry',
      'client',
      'session',
      'auth',
      'blob',
      'body',
      'challenge',
      'host-policy',
      'registry-fault',
      'retry',
      'transport',
      'transport-error',
    ),
    maxBytes: 16 * KIB,
    rssMiB: 900,
    short: 60,
    load: async () => staged((await import('./targets/registry.ts')).registryTarget),
  },
  replies: {
    sources: [...parsersOf('oci/images/registry', 'challenge'), ...json.slice(1)],
    maxBytes: 8 * KIB,
    rssMiB: 900,
    short: 5000,
    load: async () => (await import('./targets/replies.ts')).repliesLearner,
  },
  auth: {
    sources: [...parsersOf('oci/images/registry', 'auth-file'), ...json.slice(1)],
    maxBytes: 8 * KIB,
    rssMiB: 900,
    short: 5000,
    load: async () => (await import('./targets/replies.ts')).authFileLearner,
  },
  toml: {
    sources: [
      ...parsersOf('oci/images/registry', 'registries-conf', 'toml-lines', 'endpoints'),
      ...parsersOf('daemon/config', 'config', 'config-schema'),
      'node_modules/smol-toml/dist/',
    ],
    maxBytes: 8 * KIB,
    rssMiB: 900,
    short: 2500,
    load: async () => (await import('./targets/toml.ts')).tomlLearner,
  },
  policy: {
    sources: [
      ...signature('policy', 'registries-d', 'identity', 'scopes', 'base64'),
      ...json,
      ...parsersOf('oci/documents', 'yaml-fields'),
    ],
    maxBytes: 8 * KIB,
    rssMiB: 900,
    short: 2000,
    load: async () => (await import('./targets/policy.ts')).policyLearner,
  },
  cdi: {
    sources: [
      ...parsersOf('oci/runtime/bundle/cdi', 'spec-file', 'edits'),
      ...parsersOf('oci/runtime/bundle/hooks', 'hook-file', 'expression'),
      ...parsersOf('oci/runtime/spec', 'seccomp-profile'),
      ...json,
      ...parsersOf('oci/documents', 'yaml-fields'),
    ],
    maxBytes: 8 * KIB,
    rssMiB: 900,
    short: 1500,
    load: async () => (await import('./targets/cdi.ts')).cdiLearner,
  },
  cni: {
    sources: parsersOf('network', 'result', 'conflist', 'json'),
    maxBytes: 16 * KIB,
    rssMiB: 900,
    short: 3000,
    load: async () => (await import('./targets/cni.ts')).cniLearner,
  },
  conmon: {
    sources: [
      ...parsersOf('oci/runtime/monitor', 'exit-file', 'monitor-process', 'sync-pipe'),
      ...parsersOf('oci/runtime/container', 'record', 'foreign-state', 'handler-records', 'runc'),
      ...parsersOf('oci/runtime', 'handler-probe'),
      'src/base/line-cutter.ts',
      'src/base/byte-blocks.ts',
      'src/oci/runtime/shim/record.ts',
      'src/oci/images/store/records/layer-record.ts',
    ],
    maxBytes: 8 * KIB,
    rssMiB: 900,
    short: 1500,
    load: async () => (await import('./targets/conmon.ts')).conmonLearner,
  },
  journal: {
    sources: ['src/journal/format.ts', 'src/journal/crc32c.ts', 'src/base/codec.ts'],
    maxBytes: 16 * KIB,
    rssMiB: 900,
    short: 2000,
    load: async () => (await import('./targets/journal.ts')).journalLearner,
  },
  streaming: {
    sources: parsersOf(
      'cri/streaming',
      'spdy-frames',
      'spdy-headers',
      'spdy-session',
      'ws-frames',
      'ws-command',
      'handshake',
      'command-channels',
      'port-forward',
    ),
    maxBytes: 16 * KIB,
    rssMiB: 900,
    short: 1200,
    load: async () => (await import('./targets/streaming.ts')).streamingLearner,
  },
  nri: {
    sources: [
      ...parsersOf(
        'nri',
        'mux',
        'creation',
        'amend',
        'amend-extras',
        'amend-resources',
        'owners',
        'limits',
        'updates',
        'merged',
      ),
      'src/ttrpc/frames.ts',
      'src/ttrpc/protocol.ts',
      'src/oci/runtime/shim/bootstrap.ts',
    ],
    maxBytes: 8 * KIB,
    rssMiB: 900,
    short: 1500,
    load: async () => (await import('./targets/nri.ts')).nriLearner,
  },
  passwd: {
    sources: parsersOf('oci/runtime/bundle/host', 'user'),
    maxBytes: 16 * KIB,
    rssMiB: 900,
    short: 4000,
    load: async () => (await import('./targets/passwd.ts')).passwdLearner,
  },
  checkpoint: {
    sources: parsersOf('oci/runtime/checkpoint/restore', 'members', 'describe', 'machine-type', 'rootfs'),
    maxBytes: 32 * KIB,
    rssMiB: 900,
    short: 1200,
    load: async () => (await import('./targets/checkpoint.ts')).checkpointLearner,
  },
  proc: {
    sources: [
      ...parsersOf('host/usage', 'usage-files', 'usage-details'),
      ...parsersOf('host/mounts', 'mountinfo'),
      ...parsersOf('host/process', 'process-identity', 'helper-mark', 'watch'),
      ...parsersOf('host/files', 'directory-lock'),
      ...parsersOf('host/security', 'apparmor', 'selinux'),
      ...parsersOf('host/cgroups', 'cgroups'),
    ],
    maxBytes: 8 * KIB,
    rssMiB: 900,
    short: 4000,
    load: async () => (await import('./targets/proc.ts')).procLearner,
  },
} as const satisfies Readonly<Record<string, LearnerEntry>>;

export type LearnerName = keyof typeof learners;
