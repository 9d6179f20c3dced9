// Objects of the cluster, as kubectl gets them from files.

type Json = { readonly [key: string]: unknown };

/** Serves its own name at / and a line for each run of the container at /lives; its shell answers TERM at once. */
const SERVER =
  'mkdir /www; hostname > /www/index.html; echo life >> /kept/lives; ln -s /kept/lives /www/lives; trap "exit 0" TERM; httpd -f -p 8080 -h /www & wait $!';

export interface PodRequest {
  readonly name: string;
  readonly image: string;
  /** Changing it rolls a Deployment. */
  readonly version?: string;
}

const metadata = (name: string): Json => ({ name, labels: { app: name } });
const selector = (name: string): Json => ({ matchLabels: { app: name } });

function serving({ name, image, version = '1' }: PodRequest): Json {
  return {
    metadata: { labels: { app: name } },
    spec: {
      terminationGracePeriodSeconds: 5,
      containers: [
        {
          name: 'main',
          image,
          command: ['sh', '-c', SERVER],
          env: [{ name: 'VERSION', value: version }],
          ports: [{ containerPort: 8080 }],
          volumeMounts: [{ name: 'kept', mountPath: '/kept' }],
          readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 },
          resources: { requests: { cpu: '1m', memory: '8Mi' }, limits: { memory: '64Mi' } },
        },
      ],
      volumes: [{ name: 'kept', emptyDir: {} }],
    },
  };
}

export const deployment = (request: PodRequest, replicas: number): Json => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: metadata(request.name),
  spec: {
    replicas,
    selector: selector(request.name),
    template: serving(request),
    strategy: { rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
  },
});

export const daemonSet = (request: PodRequest): Json => ({
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: metadata(request.name),
  spec: { selector: selector(request.name), template: serving(request) },
});

export const pod = (request: PodRequest, more: Json = {}): Json => {
  const { metadata: labels, spec } = serving(request) as { readonly metadata: Json; readonly spec: Json };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...labels, name: request.name },
    spec: { ...spec, ...more },
  };
};

/** Each index writes a line and ends; one fails the first time. */
export const job = ({ name, image }: PodRequest, completions: number): Json => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: metadata(name),
  spec: {
    completions,
    parallelism: completions,
    completionMode: 'Indexed',
    backoffLimitPerIndex: 3,
    template: {
      metadata: { labels: { app: name } },
      spec: {
        restartPolicy: 'OnFailure',
        containers: [
          {
            name: 'main',
            image,
            command: [
              'sh',
              '-c',
              'echo "index $JOB_COMPLETION_INDEX"; [ "$JOB_COMPLETION_INDEX" != 1 ] || [ -e /kept/before ] || { touch /kept/before; exit 3; }',
            ],
            volumeMounts: [{ name: 'kept', mountPath: '/kept' }],
          },
        ],
        volumes: [{ name: 'kept', emptyDir: {} }],
      },
    },
  },
});

/**
 * The metrics API, served by a program outside the cluster. Its address can't be a loopback one, which Kubernetes takes
 * for no endpoint.
 */
export function metricsApi(address: string, port: number): readonly Json[] {
  const [name, namespace, group, version] = ['metrics-server', 'kube-system', 'metrics.k8s.io', 'v1beta1'];
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace },
      spec: { ports: [{ name: 'https', port: 443, targetPort: port }] },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name, namespace, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ name: 'https', port }],
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
    },
    {
      apiVersion: 'apiregistration.k8s.io/v1',
      kind: 'APIService',
      metadata: { name: `${version}.${group}` },
      spec: {
        service: { name, namespace, port: 443 },
        group,
        version,
        insecureSkipTLSVerify: true,
        groupPriorityMinimum: 100,
        versionPriority: 100,
      },
    },
  ];
}
