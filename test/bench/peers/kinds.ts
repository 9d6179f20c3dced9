// containerd and CRI-O as a distribution sets them up, but for directories of their own. Programs come from their
// published Go modules.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cniPluginDirectory } from '../floor.ts';
import { containerd, crio, pinns, shimOfContainerd } from '../../support/tools/peers.ts';
import type { PeerKind } from './peer.ts';

/**
 * containerd with its CRI plugin. The pods' own scores for the OOM killer are left out where the machine forbids them.
 */
export const containerdKind: PeerKind = {
  name: 'containerd',
  prepare: async ({ directory, state, socket, cniDirectory, registry, runtimePath }) => {
    const config = join(directory, 'config.toml');
    const cri = 'plugins."io.containerd.cri.v1';
    await writeFile(
      config,
      `version = 3
root = "${directory}/root"
state = "${state}/containerd"
[grpc]
address = "${socket}"
[${cri}.images".pinned_images]
sandbox = "${registry}/pause:1"
[${cri}.runtime"]
disable_apparmor = true
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[${cri}.runtime".containerd]
default_runtime_name = "runc"
[${cri}.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[${cri}.runtime".containerd.runtimes.runc.options]
BinaryName = "${runtimePath}"
[${cri}.runtime".cni]
bin_dirs = ["${cniPluginDirectory()}"]
conf_dir = "${cniDirectory}"
`,
    );
    const shim = await shimOfContainerd();
    return {
      argv: [await containerd(), '--config', config],
      env: { PATH: `${dirname(shim)}:${process.env['PATH'] ?? ''}` },
    };
  },
};

/** CRI-O without a process of its own for the pod (its default), with cgroupfs as everywhere in this bench. */
export const crioKind: PeerKind = {
  name: 'CRI-O',
  prepare: async ({ directory, state, socket, cniDirectory, registry, runtimePath }) => {
    const at = (name: string): string => join(directory, name);
    await mkdir(at('hooks'));
    await writeFile(at('policy.json'), JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }));
    await writeFile(at('registries.conf'), `[[registry]]\nlocation = "${registry}"\ninsecure = true\n`);
    await writeFile(at('storage.conf'), '[storage]\ndriver = "overlay"\n');
    await writeFile(
      at('crio.conf'),
      `[crio]
root = "${at('root')}"
runroot = "${state}/runroot"
storage_driver = "overlay"
log_dir = "${at('pods')}"
version_file = "${state}/version"
version_file_persist = "${at('version')}"
clean_shutdown_file = "${at('clean')}"
[crio.api]
listen = "${socket}"
stream_port = "0"
[crio.runtime]
default_runtime = "runc"
cgroup_manager = "cgroupfs"
conmon_cgroup = "pod"
pinns_path = "${await pinns()}"
namespaces_dir = "${state}/ns"
container_exits_dir = "${state}/exits"
container_attach_socket_dir = "${state}/attach"
hooks_dir = ["${at('hooks')}"]
log_level = "warn"
[crio.runtime.runtimes.runc]
runtime_path = "${runtimePath}"
runtime_root = "${state}/runc"
monitor_path = "/usr/bin/conmon"
monitor_cgroup = "pod"
[crio.image]
pause_image = "${registry}/pause:1"
signature_policy = "${at('policy.json')}"
[crio.network]
network_dir = "${cniDirectory}"
plugin_dirs = ["${cniPluginDirectory()}"]
[crio.nri]
enable_nri = false
`,
    );
    return {
      argv: [
        await crio(),
        '--config',
        at('crio.conf'),
        '--config-dir',
        at('hooks'),
        '--registries-conf',
        at('registries.conf'),
      ],
      env: { CONTAINERS_STORAGE_CONF: at('storage.conf') },
    };
  },
};
