// Probes as a kubelet plays them: liveness, readiness and start.
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { eachSecond, fileExists, podManifest, shell, UNTIL_TERM } from './manifests.ts';
import { same } from '../support/parts.ts';
import { containerOf, holds, isReady, type Stage } from './stage.ts';
import type { Outcome } from './outcome.ts';
import { over } from './outcome.ts';

export async function liveness(stage: Stage): Promise<Outcome> {
  // The first life is never alive, the second always.
  const script = `[ -e /data/before ] && touch /tmp/alive; touch /data/before; ${UNTIL_TERM}`;
  const name = await stage.apply(
    podManifest(stage.name('liveness'), stage.world.imageName, {
      containers: [
        {
          ...shell(script),
          livenessProbe: eachSecond({ ...fileExists('/tmp/alive'), initialDelaySeconds: 2 }),
        },
      ],
    }),
  );
  const pod = await stage.untilPod(
    name,
    'running again',
    (one) =>
      containerOf(one)?.lastState.terminated !== undefined && containerOf(one)?.state.running !== undefined,
  );
  const before = containerOf(pod)?.lastState.terminated;
  same('exit code of the first', before?.exitCode, 0);
  const [latest] = await stage.criContainers(name);
  same('lives', await stage.lives(pod), 2);
  if (!stage.isUnderKills) same('attempt', latest?.metadata?.attempt, 1);
  same('CRI state', latest?.state, ContainerState.CONTAINER_RUNNING);
  holds('warnings', (await stage.warnings(name)).join('\n'), 'Liveness probe failed');
  return await over(stage, name);
}

export async function readinessExec(stage: Stage): Promise<Outcome> {
  const name = await stage.apply(
    podManifest(stage.name('ready'), stage.world.imageName, {
      containers: [{ ...shell(UNTIL_TERM), readinessProbe: eachSecond(fileExists('/tmp/ready')) }],
    }),
  );
  const failed = await stage.untilPod(
    name,
    'running and not ready',
    (pod) => containerOf(pod)?.state.running !== undefined,
  );
  same('ready before', isReady(failed), false);
  await stage.until(
    'a failed probe',
    async () => (await stage.warnings(name)).some((line) => line.includes('Readiness probe failed')),
    name,
  );
  await stage.exec(name, ['touch', '/tmp/ready']);
  await stage.untilReady(name);
  await stage.exec(name, ['rm', '-f', '/tmp/ready']);
  const again = await stage.untilPod(name, 'not ready again', (pod) => !isReady(pod));
  await stage.neverRestarted(again);
  return await over(stage, name);
}

export async function readinessHttp(stage: Stage): Promise<Outcome> {
  const name = await stage.apply(
    podManifest(stage.name('http'), stage.world.imageName, {
      containers: [
        {
          ...shell('mkdir /tmp/www; exec httpd -f -p 8080 -h /tmp/www'),
          ports: [{ containerPort: 8080 }],
          livenessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1, failureThreshold: 10 },
          readinessProbe: eachSecond({ httpGet: { path: '/ready', port: 8080 } }),
        },
      ],
    }),
  );
  await stage.until(
    '404 from the probe',
    async () => (await stage.warnings(name)).some((line) => line.includes('statuscode: 404')),
    name,
  );
  await stage.exec(name, ['touch', '/tmp/www/ready']);
  const pod = await stage.untilReady(name);
  await stage.neverRestarted(pod);
  return await over(stage, name);
}

export async function startupProbe(stage: Stage): Promise<Outcome> {
  const name = await stage.apply(
    podManifest(stage.name('start'), stage.world.imageName, {
      containers: [
        {
          ...shell(UNTIL_TERM),
          startupProbe: { ...eachSecond(fileExists('/tmp/started')), failureThreshold: 300 },
          livenessProbe: eachSecond(fileExists('/tmp/alive')),
        },
      ],
    }),
  );
  await stage.until(
    'two failed startup probes',
    async () =>
      (await stage.warnings(name)).filter((line) => line.includes('Startup probe failed')).length >= 2,
    name,
  );
  same('started before', containerOf((await stage.pod(name)) ?? missing(name))?.started, false);
  await stage.exec(name, ['touch', '/tmp/alive', '/tmp/started']);
  const pod = await stage.untilPod(
    name,
    'started and ready',
    (one) => containerOf(one)?.started === true && isReady(one),
  );
  await stage.neverRestarted(pod);
  return await over(stage, name);
}

function missing(name: string): never {
  throw new Error(`pod ${name} is not there`);
}
