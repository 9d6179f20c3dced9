// What Multus asks of an API server, answered from a constant: `node api-server.ts <port> <key file> <cert file>
// <net-attach-def file>`. Pods have the uid that the tests give them and ask for the second network; watches stay open.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const [port = '', key = '', cert = '', definitionFile = ''] = process.argv.slice(2);
const GROUP = 'k8s.cni.cncf.io/v1';

const definition = {
  apiVersion: GROUP,
  kind: 'NetworkAttachmentDefinition',
  metadata: { name: 'second', namespace: 'default', uid: 'second', resourceVersion: '1' },
  spec: { config: readFileSync(definitionFile, 'utf8') },
};

const podOf = (name: string): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    namespace: 'default',
    uid: `uid-${name}`,
    resourceVersion: '1',
    annotations: { 'k8s.v1.cni.cncf.io/networks': 'second' },
  },
  spec: { nodeName: 'node', containers: [] },
  status: { phase: 'Pending' },
});

/** Names of the tests' pods, for lists. */
const PODS = ['a', 'b', 'client', 'ready', 'added', 'deleted'];

function answerTo(method: string, path: string): object | undefined {
  const parts = path.split('/').filter((part) => part !== '');
  const name = parts.at(-1) ?? '';
  if (path.includes('network-attachment-definitions')) {
    if (name === 'second') return definition;
    return {
      apiVersion: GROUP,
      kind: 'NetworkAttachmentDefinitionList',
      metadata: { resourceVersion: '1' },
      items: [definition],
    };
  }
  if (path.endsWith('/pods'))
    return { apiVersion: 'v1', kind: 'PodList', metadata: { resourceVersion: '1' }, items: PODS.map(podOf) };
  const pod = /\/pods\/([^/]+)/u.exec(path)?.[1];
  if (pod !== undefined) return podOf(pod);
  if (path.includes('/events') && method !== 'GET')
    return { apiVersion: 'v1', kind: 'Event', metadata: { name: 'event', namespace: 'default' } };
  return undefined;
}

createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'https://127.0.0.1');
  request.resume();
  // newer clients ask for the list as a stream first, and list where that is refused
  const isStream = searchParams.has('sendInitialEvents');
  const answer = isStream ? undefined : answerTo(request.method ?? 'GET', pathname);
  response.setHeader('Content-Type', 'application/json');
  if (!isStream && ['true', '1'].includes(searchParams.get('watch') ?? '')) {
    response.flushHeaders();
    return;
  }
  response.statusCode = answer === undefined ? 404 : 200;
  response.end(
    JSON.stringify(
      answer ?? {
        apiVersion: 'v1',
        kind: 'Status',
        status: 'Failure',
        reason: 'NotFound',
        message: `${pathname} not found`,
        code: 404,
      },
    ),
  );
}).listen(Number(port), '127.0.0.1');
