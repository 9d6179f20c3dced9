// Guards between what runs in a pod and the node's own memory, time and files.
import type { Mutant } from '../mutant.ts';

const untrusted = 'test/unit/host/untrusted-kernel-files.test.ts';
const signals = 'test/integration/host/child-signals.test.ts';
const readPace = 'test/unit/runtime/read-pace.test.ts';
const podFiles = 'test/integration/host/sandbox-files.test.ts';

export const ofPods: readonly Mutant[] = [
  {
    row: 'S87', title: 'a pod’s hosts and resolv.conf lie in the host’s /run', file: 'src/host/sandbox-files.ts',
    find: "await writeOwnFile(join(target, basename(path)), text, 0o644);", replace: 'await writeOwnFile(path, text, 0o644);',
    test: { file: podFiles, named: 'S87: with the IPC namespace' },
  },
  {
    row: 'S87', title: 'a pod’s files may grow to any size', file: 'src/host/sandbox-files.ts',
    find: 'sizeBytes: bytes + hostLimits.sandboxFilesRoomBytes, inodes: hostLimits.sandboxFilesInodes,', replace: 'sizeBytes: bytes + 2 ** 40, inodes: hostLimits.sandboxFilesInodes,',
    test: { file: podFiles, named: 'S87: with the IPC namespace' },
  },
  {
    row: 'S87', title: '/dev/shm takes any number of inodes', file: 'src/host/sandbox-files.ts',
    find: 'inodes: hostLimits.shmInodes,', replace: '',
    test: { file: podFiles, named: 'S87: inodes are bounded' },
  },
  {
    row: 'S78', title: 'a pod has as many interfaces in the statistics as it makes', file: 'src/host/stats-driver.ts',
    find: '[...own, ...others].slice(0, hostLimits.interfaces)', replace: '[...own, ...others]',
    test: { file: untrusted, named: 'S78: of a pod with a hundred thousand interfaces' },
  },
  {
    row: 'S89', title: 'a pod with the host’s PIDs holds each start of the daemon', file: 'src/host/helper-scan.ts',
    find: "(mounts === '' || readlinkSync(`/proc/${pid}/ns/mnt`) === mounts)", replace: "mounts !== 'none'",
    test: { file: 'test/integration/host/helpers.test.ts', named: 'S89 F10: who has mounts of his own' },
  },
  {
    row: 'S89', title: 'each write into the CNI directory runs the plugins', file: 'src/network/watch.ts',
    find: 'this.#pace.take(this.#options.clock.monoMs())', replace: '0',
    test: { file: 'test/unit/network/watch.test.ts', named: 'S89 looks a few times in a second' },
  },
  {
    row: 'S89', title: 'a command line is read whole', file: 'src/oci/monitor/monitor-process.ts',
    find: 'readSync(fd, line, 0, line.length, 0)', replace: "line.write(readFileSync(`/proc/${pid}/cmdline`, 'latin1'), 'latin1')",
    test: { file: untrusted, named: 'S89: of a command line of megabytes' },
  },
  {
    row: 'S89', title: 'each of any number of processes is asked for its files', file: 'src/host/usage-details.ts',
    find: 'if (pids.length > hostLimits.countedFiles) return', replace: 'if (pids.length < 0) return',
    test: { file: untrusted, named: 'S89: open files of a container with too many processes' },
  },
  {
    row: 'S89', title: 'each stop of an exec’s process wakes the daemon', file: 'src/host/child-signals.ts',
    find: '    leaveOutStops();\n', replace: '',
    test: { file: signals, named: 'S89: a child that is stopped' },
  },
  {
    row: 'S89', title: 'each signal is a pass over all children', file: 'src/host/child-signals.ts',
    find: 'if (waitMs > 0) rest(waitMs);', replace: 'if (waitMs > 0) onChange();',
    test: { file: signals, named: 'S89: however many signals' },
  },
  {
    row: 'S89', title: 'orphans that one pass leaves stay', file: 'src/host/child-signals.ts',
    find: 'else if (onChange()) rest(', replace: 'else if (onChange() && waitMs > 0) rest(',
    test: { file: signals, named: 'S89: what a pass leaves' },
  },
  {
    row: 'S89', title: 'each byte in a pipe is a read', file: 'src/host/socket-reader.ts',
    find: '          this.#restAfter(count);\n', replace: '',
    test: { file: 'test/unit/host/socket-pace.test.ts', named: 'S89: single bytes are read' },
  },
  {
    row: 'S89', title: 'each byte that a process writes is a read and a frame', file: 'src/oci/runtime/stream-output.ts',
    find: 'if (waitMs > 0) await pause(this.#clock, waitMs);', replace: 'if (waitMs < 0) await pause(this.#clock, waitMs);',
    test: { file: readPace, named: 'S89: single bytes' },
  },
  {
    row: 'S89', title: 'who writes short lines waits for the end of each span', file: 'src/base/pace.ts',
    find: 'return Math.min(this.#pace.take(nowMs), this.#restMs);', replace: 'return this.#restMs && this.#pace.take(nowMs);',
    test: { file: readPace, named: 'S89: beyond those each waits' },
  },
  {
    row: 'S89', title: 'what nobody wants is read as fast as it comes', file: 'src/oci/runtime/stream-output.ts',
    find: 'if (sink === nowhere) await pace.next(0);\n        else if', replace: 'if',
    test: { file: readPace, named: 'S89: what nobody wants' },
  },
  {
    row: 'S89', title: 'each size that a client sends is a signal to the container', file: 'src/cri/streaming/command-channels.ts',
    find: 'if (waitMs === 0) return resized;', replace: 'if (waitMs >= 0) return resized;',
    test: { file: 'test/unit/streaming/paced-sizes.test.ts', named: 'S89: of a storm' },
  },
  {
    row: 'S89', title: 'a guest’s log is read as fast as it is written', file: 'src/oci/shim/shim-log.ts',
    find: '    reader.pause();\n', replace: '',
    test: { file: 'test/unit/shim/pace.test.ts', named: 'S89: is read from time to time' },
  },
  {
    row: 'S89', title: 'a guest’s OOM kills are noted at any rate', file: 'src/oci/shim/events.ts',
    find: '    if (this.#known.has(id)) return;\n', replace: '',
    test: { file: 'test/unit/shim/pace.test.ts', named: 'S89: an OOM kill' },
  },
  {
    row: 'S89', title: 'events of a shim are read at any rate', file: 'src/oci/shim/events.ts',
    find: '        socket.pause();\n', replace: '',
    test: { file: 'test/unit/shim/pace.test.ts', named: 'S89: an OOM kill' },
  },
  {
    row: 'S89', title: 'who writes into the CNI directory has it looked at without end', file: 'src/network/watch.ts',
    find: '      this.#changed = true;\n', replace: '      this.#again = true;\n',
    test: { file: 'test/unit/network/watch.test.ts', named: 'S89 is not hurried on' },
  },
  {
    row: 'S96', title: 'what lies in a directory of programs or keys can be labelled', file: 'src/host/selinux.ts',
    find: " || clean.startsWith(`${root}/`)", replace: '',
    test: { file: 'test/unit/host/selinux.test.ts', named: 'S96: .*/usr/share/x is not' },
  },
  {
    row: 'S96', title: 'files of accounts can be labelled', file: 'src/host/selinux.ts',
    find: 'passwd group shadow gshadow', replace: 'group',
    test: { file: 'test/unit/host/selinux.test.ts', named: 'S96: /etc/shadow is not' },
  },
  {
    row: 'S97', title: 'a container joins the namespace of whoever has the pid by then', file: 'src/oci/runtime/driver-create.ts',
    find: '    checkJoined(note, attempted);\n', replace: '',
    test: { file: 'test/integration/runtime/joined.test.ts', named: 'S97 whose pid is another' },
  },
  {
    row: 'S87', title: 'everybody on the host passes to a pod’s files', file: 'src/host/sandbox-files.ts',
    find: 'inodes: hostLimits.sandboxFilesInodes, mode: 0o700,', replace: 'inodes: hostLimits.sandboxFilesInodes, mode: 0o755,',
    test: { file: podFiles, named: 'S87 S19: only root passes' },
  },
  {
    row: 'S96', title: 'a home can be labelled', file: 'src/host/selinux.ts',
    find: ' || HOME.test(clean)', replace: '',
    test: { file: 'test/unit/host/selinux.test.ts', named: 'S96: /home/' },
  },
  {
    row: 'S96', title: 'keys of the host can be labelled', file: 'src/host/selinux.ts',
    find: "'pki ssl ssh selinux ca-certificates'", replace: "'selinux'",
    test: { file: 'test/unit/host/selinux.test.ts', named: 'S96: /etc/(pki|ssh|ssl)' },
  },
  {
    row: 'S96', title: 'what the host boots from can be labelled', file: 'src/host/selinux.ts',
    find: "'usr bin sbin lib lib32 lib64 libx32 boot efi dev proc sys'", replace: "'usr bin sbin lib lib32 lib64 libx32 dev proc sys'",
    test: { file: 'test/unit/host/selinux.test.ts', named: 'S96: /(boot|efi)' },
  },
  {
    row: 'S97', title: 'a container that has joined another namespace runs on beside its refusal', file: 'src/oci/runtime/driver-create.ts',
    find: '    await killWorkers(parts, handler, input.id, note.cgroup);\n    throw error;', replace: '    throw error;',
    test: { file: 'test/integration/runtime/joined.test.ts', named: 'S97 whose pid is another' },
  },
];
