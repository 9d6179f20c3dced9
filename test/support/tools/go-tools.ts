import { buildGoTool, type GoTool } from './go.ts';

const ownArch = process.arch === 'arm64' ? 'arm64' : 'x64';

const CRI_TOOLS = { module: 'sigs.k8s.io/cri-tools', version: 'v1.36.0' } as const;

const crictlTool: GoTool = {
  ...CRI_TOOLS,
  name: 'crictl',
  package: 'sigs.k8s.io/cri-tools/cmd/crictl',
  ldflags: `-X sigs.k8s.io/cri-tools/pkg/version.Version=${CRI_TOOLS.version}`,
};

// Debian 12's runc is 1.1.5, with which critest skips the user-namespace specs (no idmapped mounts).
const runcTool: GoTool = {
  name: 'runc',
  module: 'github.com/opencontainers/runc',
  version: 'v1.4.3',
  package: 'github.com/opencontainers/runc',
  needsCgo: true,
  tags: ['seccomp'],
};

// The shim that every containerd brings: the one public program that speaks runtime v2 without a virtual machine.
const shimTool: GoTool = {
  name: 'containerd-shim-runc-v2',
  module: 'github.com/containerd/containerd/v2',
  version: 'v2.3.7',
  package: 'github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2',
};

const GVISOR = { module: 'gvisor.dev/gvisor', version: 'v0.0.0-20260905035102-160fafc42237' } as const;

/** Path of the newest released runc. */
export const runcNewest = async (): Promise<string> => await buildGoTool({ ...runcTool, version: 'v1.5.2' });

/**
 * Path of gVisor's runsc. Its module is the branch that holds the generated sources, so that the Go tool alone builds
 * it.
 */
export const runsc = async (): Promise<string> =>
  await buildGoTool({ ...GVISOR, name: 'runsc', package: `${GVISOR.module}/runsc` });

/**
 * Path of gVisor's shim of the same version. It ends when it may not give itself an oom_score_adj below zero, as on a
 * machine without CAP_SYS_RESOURCE; that one number is replaced, everything else is as published.
 */
export const shimRunsc = async (): Promise<string> =>
  await buildGoTool({
    ...GVISOR,
    name: 'containerd-shim-runsc-v1',
    package: `${GVISOR.module}/shim`,
    change: {
      id: 'oom-score',
      file: 'pkg/shim/v1/manager.go',
      replace: (text) => text.replace('oomScoreMax = -999', 'oomScoreMax = 0'),
    },
  });

/** Path of containerd's shim for runc. */
export const shimRuncV2 = async (): Promise<string> => await buildGoTool(shimTool);

/** Path of crictl v1.36.0. @param arch of the machine that it will run on */
export const crictl = async (arch: GoTool['arch'] = ownArch): Promise<string> =>
  await buildGoTool({ ...crictlTool, arch });

/** Path of runc 1.4, built with seccomp. */
export const runc14 = async (): Promise<string> => await buildGoTool(runcTool);

/**
 * Path of critest v1.36.0. One of its specs pulls an image by a digest which only the upstream registry can serve; that
 * one constant is replaced by the digest of the image we build, everything else is as published.
 * @param imageDigest `sha256:…` of our `test-image-digest`
 * @param arch of the machine that it will run on
 */
export async function critest(imageDigest: string, arch: GoTool['arch'] = ownArch): Promise<string> {
  return await buildGoTool({
    ...CRI_TOOLS,
    arch,
    name: 'critest',
    package: 'sigs.k8s.io/cri-tools/cmd/critest',
    isTest: true,
    ldflags: `-X sigs.k8s.io/cri-tools/pkg/version.Version=${CRI_TOOLS.version}`,
    change: {
      id: imageDigest.slice('sha256:'.length, 'sha256:'.length + 12),
      file: 'pkg/validate/consts.go',
      replace: (text) =>
        text.replace(
          /(testLinuxImageWithDigest\s.*"test-image-digest@)sha256:[0-9a-f]{64}/,
          `$1${imageDigest}`,
        ),
    },
  });
}
