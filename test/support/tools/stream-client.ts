import { join } from 'node:path';
import { buildOwnGo } from './go.ts';

/** Path of the client of exec, attach and port-forward that has Kubernetes' own client library: see its main.go. */
export const streamClient = async (): Promise<string> =>
  await buildOwnGo({
    name: 'stream-client',
    sources: join(import.meta.dirname, '../go/stream-client'),
    requires: { 'k8s.io/client-go': 'v0.36.3', 'k8s.io/apimachinery': 'v0.36.3' },
  });
