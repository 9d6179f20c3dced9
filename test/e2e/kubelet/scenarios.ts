// What a kubelet wants of its runtime, one pod each. Each is played twice: on a quiet daemon and while it is killed.
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { freePort } from '../support/servers.ts';
import { staticName } from './kubelet.ts';
import { eachSecond, fileExists, podManifest, shell, UNTIL_TERM } from './manifests.ts';
import { same } from '../support/parts.ts';
import { containerOf, holds, type Stage } from './stage.ts';
import type { Outcome } from './outcome.ts';
import { over } from './outcome.ts';
import { liveness, readinessExec, readinessHttp, startupProbe } from './probes.ts';

export interface Scenario {
  readonly title: string;
  /** Why it says nothing while the daemon is killed. */
  readonly onlyQuiet?: string;
  /** Answers what there is to say beside "passed". The pod it removed, when it removed it. */
  readonly play: (stage: Stage) => Promise<Outcome>;
}

async function plain(stage: Stage): Promise<Outcome> {
  const name = await stage.apply(
    podManifest(stage.name('plain'), stage.world.imageName, {
      containers: [shell(`echo hello; ${UNTIL_TERM}`)],
    }),
  );
  const pod = await stage.untilReady(name);
  same('phase', pod.status.phase, 'Running');
  const [container] = await stage.criContainers(name);
  same('CRI state', container?.state, ContainerState.CONTAINER_RUNNING);
  await stage.neverRestarted(pod);
  if (!stage.isUnderKills) same('attempt', container?.metadata?.attempt, 0);
  const [sandbox] = await stage.criSandboxes(name);
  const { status } = await stage.asked('status of the sandbox', () =>
    stage.world.client.runtime.podSandboxStatus({ podSandboxId: sandbox?.id ?? '' }),
  );
  same('address', pod.status.podIP, status?.network?.ip);
  await stage.until('its log', async () => (await stage.log(name)).includes('hello'), name);
  // The kubelet sends a hugepage limit with every container; where no hierarchy takes it the pod must run all the same.
  const { resources } = await stage.criStatus(container?.id ?? '');
  return await over(
    stage,
    name,
    `the kubelet sent ${resources?.linux?.hugepageLimits.length ?? 0} hugepage limits`,
  );
}

async function initContainers(stage: Stage): Promise<Outcome> {
  const say = (word: string): string => `echo ${word} >> /data/order`;
  const name = await stage.apply(
    podManifest(stage.name('init'), stage.world.imageName, {
      initContainers: [
        { name: 'one', ...shell(say('one')) },
        { name: 'two', ...shell(say('two')) },
      ],
      containers: [shell(`${say('main')}; cat /data/order; ${UNTIL_TERM}`)],
    }),
  );
  const pod = await stage.untilReady(name);
  for (const init of ['one', 'two']) {
    const ended = containerOf(pod, init)?.state.terminated;
    same(`exit code of ${init}`, ended?.exitCode, 0);
    same(`reason of ${init}`, ended?.reason, 'Completed');
    await stage.neverRestarted(pod, init);
  }
  await stage.until(
    'one, two, main in its log',
    async () => (await stage.log(name)) === 'one\ntwo\nmain\n',
    name,
  );
  return await over(stage, name);
}

async function hooks(stage: Stage): Promise<Outcome> {
  const name = stage.name('hooks');
  const outside = join(stage.world.instance.directory, `hooks-${name}`);
  await mkdir(outside);
  const say = (word: string): string => `echo ${word} >> /out/order`;
  await stage.apply(
    podManifest(name, stage.world.imageName, {
      volumes: [{ name: 'out', hostPath: { path: outside, type: 'Directory' } }],
      containers: [
        {
          ...shell(
            `trap "${say('term')}; exit 0" TERM; touch /tmp/up; while :; do sleep 3600 & wait $!; done`,
          ),
          readinessProbe: eachSecond(fileExists('/tmp/up')),
          volumeMounts: [{ name: 'out', mountPath: '/out' }],
          lifecycle: {
            postStart: { exec: { command: ['sh', '-c', say('post-start')] } },
            preStop: { exec: { command: ['sh', '-c', say('pre-stop')] } },
          },
        },
      ],
    }),
  );
  await stage.untilReady(name);
  same('after the start', await readFile(join(outside, 'order'), 'utf8'), 'post-start\n');
  const outcome = await over(stage, name);
  same('after the stop', await readFile(join(outside, 'order'), 'utf8'), 'post-start\npre-stop\nterm\n');
  return outcome;
}

async function sidecar(stage: Stage): Promise<Outcome> {
  const name = await stage.apply(
    podManifest(stage.name('sidecar'), stage.world.imageName, {
      initContainers: [
        {
          name: 'side',
          restartPolicy: 'Always',
          ...shell(`touch /data/side; ${UNTIL_TERM}`),
          startupProbe: { ...eachSecond(fileExists('/data/side')), failureThreshold: 60 },
        },
      ],
      containers: [shell('test -e /data/side && until test -e /data/go; do sleep 1; done')],
      more: { restartPolicy: 'Never' },
    }),
  );
  const both = await stage.untilPod(
    name,
    'with both running',
    (pod) =>
      containerOf(pod)?.state.running !== undefined && containerOf(pod, 'side')?.state.running !== undefined,
  );
  // Now: the kubelet takes the volumes of a pod away when it has succeeded.
  await stage.neverRestarted(both);
  await stage.neverRestarted(both, 'side');
  await stage.exec(name, ['touch', '/data/go'], 'side');
  const pod = await stage.untilPod(
    name,
    'Succeeded',
    (one) => one.status.phase === 'Succeeded' && containerOf(one, 'side')?.state.terminated !== undefined,
  );
  same('exit code', containerOf(pod)?.state.terminated?.exitCode, 0);
  same('exit code of the sidecar', containerOf(pod, 'side')?.state.terminated?.exitCode, 0);
  return await over(stage, name);
}

async function crashLoop(stage: Stage): Promise<Outcome> {
  const name = await stage.apply(
    podManifest(stage.name('crash'), stage.world.imageName, { containers: [shell('echo life; exit 3')] }),
  );
  const pod = await stage.untilPod(name, 'in its back-off after two restarts', (one) => {
    const status = containerOf(one);
    return (status?.restartCount ?? 0) >= 2 && status?.state.waiting?.reason === 'CrashLoopBackOff';
  });
  same('last exit code', containerOf(pod)?.lastState.terminated?.exitCode, 3);
  same('last reason', containerOf(pod)?.lastState.terminated?.reason, 'Error');
  await stage.until(
    'the log of the life before',
    async () => (await stage.log(name, 'main', '?previous=true')) === 'life\n',
    name,
  );
  return await over(stage, name);
}

async function outOfMemory(stage: Stage): Promise<Outcome> {
  const name = await stage.apply(
    podManifest(stage.name('oom'), stage.world.imageName, {
      containers: [
        { ...shell('exec tail /dev/zero'), resources: { limits: { memory: '32Mi', cpu: '500m' } } },
      ],
      more: { restartPolicy: 'Never' },
    }),
  );
  const pod = await stage.untilPod(name, 'Failed', (one) => one.status.phase === 'Failed');
  const ended = containerOf(pod)?.state.terminated;
  same('reason', ended?.reason, 'OOMKilled');
  same('exit code', ended?.exitCode, 137);
  return await over(stage, name);
}

/** A container with variables of each source and a volume of each kind. */
const withEverything = (script: string) => ({
  ...shell(script),
  env: [
    { name: 'GREETING', value: 'good day' },
    { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
    { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
    { name: 'LIMIT', valueFrom: { resourceFieldRef: { resource: 'limits.memory' } } },
  ],
  resources: { limits: { memory: '64Mi' } },
  volumeMounts: [
    { name: 'mem', mountPath: '/mem' },
    { name: 'info', mountPath: '/etc/podinfo' },
    { name: 'data', mountPath: '/sub', subPath: 'sub' },
    { name: 'data', mountPath: '/ro', readOnly: true },
  ],
});

async function volumes(stage: Stage): Promise<Outcome> {
  const name = stage.name('volumes');
  const script = [
    'echo "$GREETING $POD $IP $LIMIT"',
    'cat /etc/podinfo/labels; echo',
    'ls /sub',
    'touch /ro/x 2>&1',
    'grep " /mem " /proc/mounts | cut -d " " -f 3',
    'hostname',
    'grep -c "$IP" /etc/hosts',
    'echo end',
    UNTIL_TERM,
  ].join('; ');
  await stage.apply(
    podManifest(name, stage.world.imageName, {
      volumes: [
        { name: 'mem', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
        {
          name: 'info',
          downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] },
        },
      ],
      initContainers: [{ name: 'fill', ...shell('mkdir /data/sub; touch /data/sub/file') }],
      containers: [withEverything(script)],
    }),
  );
  await stage.untilReady(name);
  const ip = (await stage.pod(name))?.status.podIP ?? '';
  const log = await stage.until(
    'its whole log',
    async () => await stage.log(name).then((text) => (text.endsWith('end\n') ? text : undefined)),
    name,
  );
  const lines = [
    `good day ${staticName(name)} ${ip} ${64 * 1024 * 1024}`,
    `scenario="${name}"`,
    'file',
    'touch: /ro/x: Read-only file system',
    'tmpfs',
    staticName(name),
    '1',
    'end',
  ];
  same('log', log, `${lines.join('\n')}\n`);
  return await over(stage, name);
}

async function terminationMessage(stage: Stage): Promise<Outcome> {
  const name = await stage.apply(
    podManifest(stage.name('message'), stage.world.imageName, {
      containers: [
        shell('echo -n last words > /dev/termination-log; exit 4'),
        {
          name: 'from-log',
          terminationMessagePolicy: 'FallbackToLogsOnError',
          ...shell('echo it broke; exit 5'),
        },
      ],
      more: { restartPolicy: 'Never' },
    }),
  );
  const pod = await stage.untilPod(name, 'Failed', (one) => one.status.phase === 'Failed');
  const [written, fromLog] = ['main', 'from-log'].map((one) => containerOf(pod, one)?.state.terminated);
  same('exit code', written?.exitCode, 4);
  same('message', written?.message, 'last words');
  same('exit code of the other', fromLog?.exitCode, 5);
  same('message from the log', fromLog?.message, 'it broke\n');
  return await over(stage, name);
}

async function hostNetwork(stage: Stage): Promise<Outcome> {
  const port = await freePort();
  const name = await stage.apply(
    podManifest(stage.name('hostnet'), stage.world.imageName, {
      containers: [
        {
          ...shell(`mkdir /tmp/www; touch /tmp/www/up; exec httpd -f -p 127.0.0.1:${port} -h /tmp/www`),
          readinessProbe: eachSecond({ httpGet: { host: '127.0.0.1', path: '/up', port } }),
        },
      ],
      more: { hostNetwork: true },
    }),
  );
  await stage.untilReady(name);
  same('answer on the host', (await fetch(`http://127.0.0.1:${port}/up`)).status, 200);
  return await over(stage, name);
}

async function sharedProcesses(stage: Stage): Promise<Outcome> {
  const name = await stage.apply(
    podManifest(stage.name('sharepid'), stage.world.imageName, {
      containers: [shell(UNTIL_TERM), { name: 'other', command: ['sleep', '7654'] }],
      more: { shareProcessNamespace: true },
    }),
  );
  await stage.untilReady(name);
  holds('ps', await stage.exec(name, ['ps']), 'sleep 7654');
  return await over(stage, name);
}

async function security(stage: Stage): Promise<Outcome> {
  const script = `id -u; id -g; grep -E "CapEff|NoNewPrivs|Seccomp:" /proc/self/status | tr "\\t" " "; touch /x 2>&1; echo end; ${UNTIL_TERM}`;
  const name = await stage.apply(
    podManifest(stage.name('secure'), stage.world.imageName, {
      containers: [
        {
          ...shell(script),
          securityContext: {
            runAsUser: 1234,
            runAsGroup: 2345,
            runAsNonRoot: true,
            readOnlyRootFilesystem: true,
            allowPrivilegeEscalation: false,
            capabilities: { drop: ['ALL'] },
            seccompProfile: { type: 'RuntimeDefault' },
          },
        },
      ],
    }),
  );
  const log = await stage.until(
    'its whole log',
    async () => await stage.log(name).then((text) => (text.endsWith('end\n') ? text : undefined)),
    name,
  );
  same(
    'log',
    log,
    '1234\n2345\nCapEff: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\ntouch: /x: Read-only file system\nend\n',
  );
  return await over(stage, name);
}

export const scenarios: readonly Scenario[] = [
  { title: 'plain pod reaches Running, whatever hugepage limits the kubelet sends', play: plain },
  { title: 'init containers in order', play: initContainers },
  { title: 'liveness fails: restarted with attempt 1', play: liveness },
  { title: 'readiness by exec', play: readinessExec },
  { title: 'readiness by http', play: readinessHttp },
  { title: 'startup probe holds liveness back', play: startupProbe },
  {
    title: 'postStart and preStop',
    play: hooks,
    onlyQuiet:
      'the kubelet runs postStart only when it has heard StartContainer succeed, and preStop with each try to stop',
  },
  { title: 'sidecar ends after the main container', play: sidecar },
  { title: 'crash loop with back-off, log of the life before', play: crashLoop },
  { title: 'memory limit: OOMKilled', play: outOfMemory },
  { title: 'env, emptyDir, tmpfs, subPath, downward API, hosts', play: volumes },
  { title: 'termination message', play: terminationMessage },
  { title: 'host network', play: hostNetwork },
  { title: 'shared PID namespace', play: sharedProcesses },
  { title: 'user, capabilities, seccomp, read-only root', play: security },
];
